# The bridge's image: the core install at the pinned versions, without torch, its kernels compiled for any machine of the
# architecture. By tag here; pin the digest that you have tried: --build-arg PYTHON=3.11-slim-bookworm@sha256:...
#
#   docker build --tag synergai-bridge:0.1.0 .
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
WORKDIR /src
RUN python -m venv --without-pip /opt/synergai
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
COPY offline_profiles offline_profiles
COPY envs envs
COPY agents agents
COPY training training
COPY k8s_bridge k8s_bridge
COPY benchmarks benchmarks
COPY checkpoints checkpoints
RUN pip --python /opt/synergai/bin/python install --no-cache-dir --constraint constraints.txt .
ENV NUMBA_CPU_NAME=generic XDG_CACHE_HOME=/opt/cache
RUN /opt/synergai/bin/python -m synergai.k8s_bridge.warm

FROM python:${PYTHON}
COPY --from=build /opt/synergai /opt/synergai
COPY --from=build --chown=10001:10001 /opt/cache /opt/cache
ENV PATH=/opt/synergai/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CPU_NAME=generic XDG_CACHE_HOME=/opt/cache
USER 10001:10001
ENTRYPOINT ["synergai"]
CMD ["bridge"]
