"""What a bridge does when the files that it was started with change: settings, checkpoint, profiles."""

import asyncio
import gc
import json
import os
import shutil
import weakref
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from bridge_bench import Bench, bench, until
from bridge_fakes import ANNOTATIONS, profile, table
from safetensors.numpy import load_file, save_file

from synergai.agents.guard import Guarded
from synergai.agents.heuristics import as_decision
from synergai.envs.cluster import Cluster
from synergai.envs.types import Device, Job, Node
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.config import CHANGEABLE, Settings
from synergai.k8s_bridge.control.reload import Change, Load, LoadError, Reloads, Source
from synergai.k8s_bridge.entries import Stage
from synergai.k8s_bridge.reports.metrics import Metrics
from synergai.k8s_bridge.startup import load_change, load_scheduler
from synergai.offline_profiles.table import ProfileTable

DEMO = files("synergai.checkpoints") / "demo"


class Followed:
    """Reloads of one file, looked at by hand."""

    def __init__(self, folder: Path, text: str = "", load: Load | None = None, **options: object) -> None:
        self.file = folder / "bridge.yaml"
        self.file.write_text(text, encoding="utf-8")
        self.loads: list[tuple[bool, bool]] = []
        self.metrics = Metrics()
        source = Source(str(self.file), options)
        self.reloads = Reloads(source, source.load(), load or self.load, self.metrics)

    def load(self, settings: Settings, decider: bool, tables: bool) -> Change:
        self.loads.append((decider, tables))
        return Change(settings)

    async def look(self) -> list[Change]:
        """What two looks hand over, and what they were about to load."""
        self.reloads.look()
        self.reloads.look()
        if self.reloads._loading:
            await asyncio.wait([self.reloads._loading])
        return self.reloads.take()

    async def says(self, text: str) -> list[Change]:
        self.file.write_text(text, encoding="utf-8")
        return await self.look()

    def page(self) -> str:
        return self.metrics.render().decode()


async def test_a_file_that_has_not_changed_changes_nothing(tmp_path: Path):
    f = Followed(tmp_path, "mode: shadow")
    assert await f.look() == []
    assert await f.look() == []
    assert "synergai_settings_refused 0.0" in f.page()


async def test_a_changed_key_is_in_force(tmp_path: Path):
    f = Followed(tmp_path)
    (change,) = await f.says("binds_per_minute: 7")
    assert change.settings.binds_per_minute == 7
    assert f.loads == []
    assert 'synergai_reloads_total{result="applied"} 1.0' in f.page()


async def test_a_file_that_changed_while_the_bridge_started_is_seen_at_the_first_look(tmp_path: Path):
    f = Followed(tmp_path)
    f.file.write_text("mode: paused", encoding="utf-8")
    assert (await f.look())[-1].settings.mode == "paused"


async def test_an_option_of_the_command_line_wins_over_the_changed_file_too(tmp_path: Path):
    f = Followed(tmp_path, "", log_level="debug")
    (change,) = await f.says("{log_level: error, batch_ms: 1}")
    assert change.settings.log_level == "debug"


BAD = {
    "unknown key": "mod: paused",
    "no mode": "mode: asleep",
    "no YAML": "a: [",
    "no mapping": "- a",
    "two modes": "mode: active\nmode: paused",
    "not text": "\x00",
}


@pytest.mark.parametrize("why", BAD)
async def test_a_bad_file_is_refused_told_once_and_changes_nothing(
    tmp_path: Path, why: str, caplog: pytest.LogCaptureFixture
):
    f = Followed(tmp_path, "mode: shadow")
    await f.look()
    assert await f.says(BAD[why]) == []
    assert await f.look() == []
    assert caplog.text.count("SettingsRefused: ") == 1
    assert str(f.file) in caplog.text
    assert "synergai_settings_refused 1.0" in f.page()


async def test_a_file_that_is_good_again_is_followed(tmp_path: Path):
    f = Followed(tmp_path)
    await f.says("a: [")
    (change,) = await f.says("batch_ms: 1")
    assert change.settings.batch_ms == 1
    assert "synergai_settings_refused 0.0" in f.page()


async def test_a_file_that_is_gone_leaves_what_was_in_force(tmp_path: Path):
    f = Followed(tmp_path, "mode: shadow")
    await f.look()
    f.file.unlink()
    assert await f.look() == []
    assert "synergai_settings_refused 1.0" in f.page()


async def test_a_configmap_that_is_swapped_by_links_is_seen(tmp_path: Path):
    for name, mode in (("one", "active"), ("two", "paused")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "bridge.yaml").write_text(f"mode: {mode}", encoding="utf-8")
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "bridge.yaml").symlink_to("..data/bridge.yaml")
    source = Source(str(tmp_path / "bridge.yaml"), {})
    reloads = Reloads(source, source.load(), lambda *_: pytest.fail("nothing to load"), Metrics())
    reloads.look()
    reloads.look()
    assert not reloads.news
    (tmp_path / "next").symlink_to("two")
    os.replace(tmp_path / "next", tmp_path / "..data")
    reloads.look()
    reloads.look()
    assert [change.settings.mode for change in reloads.take()] == ["paused"]


async def test_a_file_that_is_just_being_written_is_not_taken_for_the_defaults(tmp_path: Path):
    f = Followed(tmp_path, "mode: paused")
    await f.look()
    f.file.write_text("", encoding="utf-8")
    f.reloads.look()
    f.file.write_text("mode: heuristic", encoding="utf-8")
    f.reloads.look()
    assert not f.reloads.news
    assert [change.settings.mode for change in await f.look()] == ["heuristic"]


async def test_a_key_that_needs_a_restart_is_told_and_the_rest_is_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    f = Followed(tmp_path)
    (change,) = await f.says("{shared_nodes: true, batch_ms: 1}")
    assert (change.settings.shared_nodes, change.settings.batch_ms) == (False, 1)
    assert "SettingsNeedRestart: shared_nodes" in caplog.text
    assert "synergai_settings_restart_needed 1.0" in f.page()
    await f.says("batch_ms: 1")
    assert "synergai_settings_restart_needed 0.0" in f.page()


def test_every_key_that_may_change_is_a_setting():
    assert set(Settings.model_fields) >= CHANGEABLE


LOADED = {
    "scheduler: edf": (True, False),
    "checkpoint: demo": (True, False),
    "guard_budget_ms: 1": (True, False),
    "expect: {resnet50: {share: 1, samples: 5}}": (False, True),
    "pod_start_s: 1": (False, True),
    "{pod_start_s: 1, fallback: edf}": (True, True),
}


@pytest.mark.parametrize("text", LOADED)
async def test_only_what_a_key_is_of_is_loaded_anew(tmp_path: Path, text: str):
    f = Followed(tmp_path)
    await f.says(text)
    assert f.loads == [LOADED[text]]


def fails(settings: Settings, decider: bool, tables: bool) -> Change:
    raise LoadError("the weights are no weights")


async def test_a_file_whose_checkpoint_cannot_be_used_is_refused_as_a_whole_but_for_its_mode(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    f = Followed(tmp_path, load=fails)
    (change,) = await f.says("{mode: paused, checkpoint: bad, batch_ms: 1}")
    assert (change.settings.mode, change.settings.checkpoint, change.settings.batch_ms) == ("paused", "", 5)
    assert "SettingsRefused: the weights are no weights; what was in force stays" in caplog.text
    changes = await f.says("{mode: active, batch_ms: 1}")
    assert [change.settings.mode for change in changes] == ["active"]
    assert changes[-1].settings.batch_ms == 1


async def test_a_bolder_mode_waits_for_what_the_file_names_and_is_refused_with_it(tmp_path: Path):
    f = Followed(tmp_path, "mode: shadow", load=fails)
    await f.look()
    assert await f.says("{mode: active, checkpoint: bad}") == []


async def test_an_error_that_nobody_thought_of_is_refused_too(tmp_path: Path):
    def breaks(*_: object) -> Change:
        raise RuntimeError("out of everything")

    f = Followed(tmp_path, load=breaks)
    assert await f.says("checkpoint: bad") == []
    assert 'synergai_reloads_total{result="refused"} 1.0' in f.page()


def checkpoint(folder: Path, change: str = "") -> Path:
    """A copy of the released one, as it is or damaged."""
    shutil.copytree(str(DEMO), folder, dirs_exist_ok=True)
    weights = load_file(folder / "weights.safetensors")
    if change == "other":
        weights["bias"] = weights["bias"] * np.float32(1.01)
    if change == "not finite":
        weights["bias"][0] = np.nan
    if change == "huge":
        weights = {name: np.full_like(array, 3e38) for name, array in weights.items()}
    save_file(weights, folder / "weights.safetensors")
    if change == "other features":
        card = json.loads((folder / "card.json").read_text())
        (folder / "card.json").write_text(json.dumps({**card, "features": "0"}))
    if change == "cut":
        data = (folder / "weights.safetensors").read_bytes()
        (folder / "weights.safetensors").write_bytes(data[: len(data) // 2])
    return folder


async def test_a_checkpoint_whose_files_change_is_loaded_anew(tmp_path: Path):
    folder = checkpoint(tmp_path / "policy")
    f = Followed(tmp_path, f"checkpoint: {folder}")
    assert await f.look() == []
    checkpoint(folder, "other")
    assert len(await f.look()) == 1
    assert f.loads == [(True, False)]
    assert await f.look() == []


def test_a_good_checkpoint_is_loaded_and_tried():
    change = load_change(Settings(checkpoint="demo"), decider=True, tables=False)
    assert isinstance(change.scheduler, Guarded)
    assert change.table is None


@pytest.mark.parametrize("change", ["not finite", "huge", "other features", "cut"])
def test_a_bad_checkpoint_is_found_out_before_it_decides(tmp_path: Path, change: str):
    folder = checkpoint(tmp_path / "policy", change)
    with pytest.raises(LoadError, match="policy"):
        load_change(Settings(checkpoint=str(folder)), decider=True, tables=False)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"scheduler": "best"}, "best"),
        ({"fallback": "best"}, "best"),
        ({"checkpoint": "nowhere"}, "nowhere"),
        ({"policy": "net+plan"}, "policy net\\+plan"),
    ],
)
def test_a_scheduler_that_there_is_not_is_named(settings: dict[str, object], named: str):
    with pytest.raises(LoadError, match=named):
        load_change(Settings.model_validate(settings), decider=True, tables=False)


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"profiles": ["/nowhere.csv"]}, "nowhere"), ({"expect": {"x": {"share": 1, "samples": 1}}}, "expect")],
)
def test_profiles_that_cannot_be_used_are_named(settings: dict[str, object], named: str):
    with pytest.raises(LoadError, match=named):
        load_change(Settings.model_validate(settings), decider=False, tables=True)


def with_profile(folder: Path, model: str = "mine", throughput: str = "100") -> Path:
    """A file of one profile: the first that ships, of another model."""
    head, first, *_ = (files("synergai.offline_profiles") / "data" / "profiles.csv").read_text().splitlines()
    fields = dict(zip(head.split(","), first.split(",")))
    fields["model"], fields["throughput_sps"] = model, throughput
    path = folder / "own.csv"
    path.write_text(f"{head}\n{','.join(fields.values())}\n", encoding="utf-8")
    return path


def a_cluster(table: ProfileTable) -> tuple[Cluster, str]:
    profile = table.profiles[0]
    cluster = Cluster(table)
    units = 0 if table.hardware[profile.hardware].kind == "cpu" else 4
    cluster.set_node(Node("n0", (Device(profile.hardware, units),), 400_000, 400_000))
    return cluster, profile.model


class First:
    """Starts whatever can be started."""

    name = "first"

    def decide(self, state, candidates):
        return as_decision(int(np.flatnonzero(candidates.mask)[0]), candidates, "rule", "first")


def test_other_profiles_leave_what_runs_booked_and_what_waits_waiting(tmp_path: Path):
    cluster, model = a_cluster(ProfileTable.default())
    cluster.enqueue(Job("runs", model, 1000, 0, 10**9))
    (start,) = cluster.round(10, First())
    cluster.enqueue(Job("waits", model, 1000, 20, 10**9))
    free = cluster.state.nodes[0][["cpu_free", "memory_free", "pods_free"]].tolist()
    cluster.refit(ProfileTable.load(with_profile(tmp_path)))
    assert cluster.state.nodes[0][["cpu_free", "memory_free", "pods_free"]].tolist() == free
    assert (cluster.running(), cluster.queued()) == (1, 1)
    assert [w.job.key for w in cluster.in_order(5)] == ["waits"]
    cluster.enqueue(Job("new", "mine", 1000, 30, 10**9))
    assert {d.job for d in cluster.round(40, First())} == {"waits", "new"}
    cluster.release(start.job, 50, 1.0)
    assert cluster.running() == 2


def test_what_was_learnt_stays_where_the_profile_is_the_same(tmp_path: Path):
    table = ProfileTable.default()
    cluster, model = a_cluster(table)
    cluster.enqueue(Job("runs", model, 1000, 0, 10**9))
    (start,) = cluster.round(10, First())
    cluster.release(start.job, 10**7, 123.0)
    known = cluster.state.history["count"].sum()
    assert known > 0
    cluster.refit(ProfileTable.load(with_profile(tmp_path)))
    assert cluster.state.history["count"].sum() == known
    cluster.refit(ProfileTable.load(with_profile(tmp_path, model, "99")))
    same = table.profiles[0].configuration == start.configuration
    assert cluster.state.history["count"].sum() == (0 if same else known)


def test_profiles_that_lack_the_model_of_what_waits_are_refused_and_change_nothing(tmp_path: Path):
    own = ProfileTable.load(with_profile(tmp_path))
    cluster, _ = a_cluster(own)
    cluster.enqueue(Job("waits", "mine", 1000, 0, 10**9))
    with pytest.raises(ValueError, match="mine"):
        cluster.refit(ProfileTable.default())
    assert cluster.table is own


def test_other_hardware_classes_need_a_restart():
    known = dict(list(ProfileTable.default().hardware.items())[1:])
    with pytest.raises(LoadError, match="restart"):
        load_change(Settings(), decider=False, tables=True, hardware=known)


class Unready:
    """A bridge of fakes' profiles, to which those of another model may be added."""

    def __init__(self) -> None:
        self.before = table()
        rows = sorted((*self.before.profiles, profile("late", "gpu-a")), key=lambda p: (p.model, p.hardware))
        self.after = replace(self.before, profiles=tuple(rows))

    def load(self, settings: Settings, decider: bool, tables: bool) -> Change:
        return Change(settings, None, self.after if settings.pod_start_s else self.before, {})


async def staged(b: Bench, name: str, stage: Stage) -> bool:
    entry = b.daemon.pods.entries.get(f"default/{name}")
    return entry is not None and entry.stage is stage


async def test_a_pod_that_waits_is_read_by_the_new_profiles_and_by_the_old_ones_again(tmp_path: Path):
    file, tables = tmp_path / "bridge.yaml", Unready()
    file.write_text("mode: paused", encoding="utf-8")
    async with bench() as b:
        b.cluster, b.scheduler, b.load = Cluster(tables.before), First(), tables.load  # type: ignore[assignment]
        await b.node()
        await b.pod("known")
        await b.pod("late", {**ANNOTATIONS, keys.ANNOTATION_MODEL: "late"})
        await b.start(file=file)
        await until(lambda: staged(b, "late", Stage.PLAIN))
        file.write_text("{mode: paused, pod_start_s: 1}", encoding="utf-8")
        await until(lambda: staged(b, "late", Stage.QUEUED))
        file.write_text("mode: paused", encoding="utf-8")
        await until(lambda: staged(b, "late", Stage.PLAIN))
        assert await staged(b, "known", Stage.QUEUED)
        file.write_text("{mode: active, pod_start_s: 1}", encoding="utf-8")
        await until(lambda: bound(b, "late"))
        await until(lambda: bound(b, "known"))
        decided = json.loads((await b.pods())["late"]["metadata"]["annotations"][keys.ANNOTATION_DECISION])
        assert decided["configuration"] == "ort-b8"
        assert b.cluster.state.clock[0]["n_running"] == 2


async def in_force(b: Bench, key: str, value: object) -> bool:
    return getattr(b.daemon.settings, key) == value


async def bound(b: Bench, name: str) -> bool:
    return await b.node_of(name) != ""


async def test_a_bridge_goes_on_with_another_policy_and_the_old_one_is_freed(tmp_path: Path):
    file = tmp_path / "bridge.yaml"
    file.write_text("checkpoint: demo", encoding="utf-8")
    async with bench() as b:
        b.load = load_change
        b.scheduler = load_scheduler(Settings(checkpoint="demo"))
        old = weakref.ref(b.scheduler)
        await b.node()
        await b.start(file=file)
        b.scheduler = None
        await b.daemon.synced.wait()
        before = b.daemon.render_metrics().decode()
        assert 'synergai_model_info{name="demo",policy="net",version="' in before
        folder = checkpoint(tmp_path / "other", "other")
        file.write_text(f"checkpoint: {folder}", encoding="utf-8")
        await until(lambda: in_force(b, "checkpoint", str(folder)), 60)
        page = b.daemon.render_metrics().decode()
        assert f'name="{folder}",policy="net"' in page
        assert page.count("synergai_model_info{") == 1
        gc.collect()
        assert old() is None
        await b.pod("a")
        await until(lambda: bound(b, "a"))


async def test_a_bridge_goes_on_with_its_policy_where_the_new_one_is_bad(tmp_path: Path):
    file = tmp_path / "bridge.yaml"
    file.write_text("", encoding="utf-8")
    async with bench() as b:
        b.load = load_change
        b.scheduler = load_scheduler(Settings(checkpoint="demo"))
        await b.node()
        await b.start(file=file)
        await b.daemon.synced.wait()
        folder = checkpoint(tmp_path / "bad", "not finite")
        file.write_text(f"checkpoint: {folder}", encoding="utf-8")
        await until(lambda: refused(b), 60)
        assert b.daemon._scheduler is b.scheduler
        await b.pod("a")
        await until(lambda: bound(b, "a"))


async def refused(b: Bench) -> bool:
    return b"synergai_settings_refused 1.0" in b.daemon.render_metrics()
