"""Asks the API server, by dry runs, whether it takes pods of a runtime's template, and what admission makes of them."""

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.inference.delegation import delegate
from synergai.k8s_bridge.inference.runtime import Runtime
from synergai.k8s_bridge.inference.templates import Checked, Way, probe_pod, refusal
from synergai.k8s_bridge.pods import Json, read_pod

log = logging.getLogger(__name__)

AGAIN_S = 60.0
"""After so long everything is asked again: limits, quotas and webhooks change without a word."""
DOUBT_S = 10.0
"""The same of what was refused: a right, a class or a webhook that was missing may be there soon, and jobs wait."""
RETRY_S = 1.0
"""The same of what got no answer."""
AT_ONCE = 8
_CERTAIN = frozenset({400, 403, 404, 409, 413, 415, 422})
_QUOTA = "exceeded quota"
"""https://github.com/kubernetes/kubernetes/blob/v1.36.3/staging/src/k8s.io/apiserver/pkg/admission/plugin/resourcequota/controller.go"""


class Question(NamedTuple):
    """What is asked."""

    uid: str
    generation: int
    variant: str
    namespace: str
    priority_class: str


class Checks:
    """What is known; a call that finds nothing has it asked."""

    def __init__(self, client: ApiClient, on_answer: Callable[[], None], delegate_to: str = "") -> None:
        """`delegate_to`: the scheduler that binds the pods, where that is another."""
        self._client = client
        self._delegate_to = delegate_to
        self._on_answer = on_answer
        self._asked: dict[Question, Way] = {}
        self._known: dict[Question, Checked] = {}
        self._due: set[Question] = set()
        self._later: dict[Question, asyncio.TimerHandle] = {}
        self._news = asyncio.Event()
        self._room = asyncio.Semaphore(AT_ONCE)

    def __call__(self, way: Way, namespace: str, priority_class: str) -> Checked | None:
        runtime = way.runtime
        question = Question(runtime.uid, runtime.generation, way.variant.name, namespace, priority_class)
        if question not in self._asked:
            self._asked[question] = way
            self._ask_soon(question)
        return self._known.get(question)

    def _ask_soon(self, question: Question) -> None:
        self._later.pop(question, None)
        self._due.add(question)
        self._news.set()

    def of(self, runtime: Runtime) -> dict[Question, Checked]:
        """What is known of a runtime as it is now."""
        name = (runtime.uid, runtime.generation)
        return {q: checked for q, checked in self._known.items() if (q.uid, q.generation) == name}

    def ask_again(self, namespace: str) -> None:
        """What is known of a namespace does not hold."""
        for question in [q for q in self._asked if q.namespace == namespace]:
            self._known.pop(question, None)
            self._ask_soon(question)

    def forget(self, uid: str, generation: int = -1) -> None:
        """Of a runtime only this generation is of interest, or none."""
        for question in [q for q in self._asked if q.uid == uid and q.generation != generation]:
            del self._asked[question]
            self._known.pop(question, None)

    async def run(self) -> None:
        """Until cancelled. A question that takes long, as of a webhook that does not answer, holds up no other."""
        loop = asyncio.get_running_loop()
        again_s = loop.time() + AGAIN_S
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    async with asyncio.timeout_at(again_s):
                        await self._news.wait()
                except TimeoutError:
                    again_s = loop.time() + AGAIN_S
                    self._due |= self._asked.keys()
                self._news.clear()
                due, self._due = self._due, set()
                for question in due:
                    group.create_task(self._settle(question))

    async def _settle(self, question: Question) -> None:
        async with self._room:
            way = self._asked.get(question)
            checked = await self._ask(question, way) if way is not None else None
        if question not in self._asked:
            return  # its runtime has changed, or its namespace is gone
        if checked is None or checked.problem:
            self._ask_in(RETRY_S if checked is None else DOUBT_S, question)
        before = self._known.get(question)
        if checked is not None and (before is None or not before.same(checked)):
            self._known[question] = checked
            self._on_answer()

    def _ask_in(self, delay_s: float, question: Question) -> None:
        """Instead of when it would have been asked before."""
        before = self._later.pop(question, None)
        if before is not None:
            before.cancel()
        self._later[question] = asyncio.get_running_loop().call_later(delay_s, self._ask_soon, question)

    async def _ask(self, question: Question, way: Way) -> Checked | None:
        """None where nobody knows yet."""
        problem = refusal(way.variant, bool(self._delegate_to))
        if problem:
            return Checked(problem)
        pod = probe_pod(way, question.namespace, question.priority_class)
        if self._delegate_to:
            pod = delegate(pod, self._delegate_to)
        path = f"/api/v1/namespaces/{question.namespace}/pods"
        try:
            made = await self._client.request(
                "POST", path, params={"dryRun": "All"}, body=pod, retry="throttled"
            )
            return _accepted(made)
        except ApiError as error:
            if error.status == 403 and _QUOTA in error.message:
                return _accepted(pod)  # there is no room now: the template is not to blame
            if error.status == 404:
                self._asked.pop(question, None)  # asked again when there is a job in such a namespace
                self._known.pop(question, None)
            if error.status in _CERTAIN:
                return Checked(error.message)
            said = (way.runtime.title, way.variant.name, question.namespace, error)
            log.warning("%s, variant %s: dry run in %s: %s", *said)
            return None


def _accepted(pod: Json) -> Checked:
    return Checked("", pod["spec"], read_pod(pod))
