# xmguard with vLLM on CUDA. Nothing of this image was run on a GPU here: see xmguard/backends/vllm/README.md; serving needs
# --experimental until a record of a run is committed.
#
#   docker build -f deploy/docker/cuda.Dockerfile -t xmguard:cuda .
#   docker run --gpus all --shm-size 8g --read-only --tmpfs /tmp:exec -v /models/mine:/opt/models/mine:ro \
#       xmguard:cuda --engine vllm --experimental --device cuda --model /opt/models/mine
#
# The CUDA libraries come as wheels with torch; the host brings the driver.
ARG PYTHON_IMAGE=python:3.12.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /source
RUN python -m venv /opt/xmguard
COPY pyproject.toml README.md LICENSE ./
COPY xmguard ./xmguard
COPY server ./server
COPY research ./research
COPY plugins ./plugins
# constraints.txt keeps torch without CUDA and is not used here: vLLM pins its own torch.
RUN /opt/xmguard/bin/pip install ".[server,vllm,mcp,tracing]" \
      ./plugins/xmguard-image ./plugins/xmguard-lang-european ./plugins/xmguard-lang-is ./plugins/xmguard-lang-tr \
      ./plugins/xmguard-lang-zh

FROM ${PYTHON_IMAGE} AS run
LABEL org.opencontainers.image.title="xmguard (CUDA)" \
      org.opencontainers.image.description="Answers over several sources, and says whether they contradict each other" \
      org.opencontainers.image.licenses="Apache-2.0"
# Triton compiles a launcher for each kernel with the system's C compiler, at run time.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 xmguard \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin xmguard \
    && mkdir -p /opt/models
COPY --from=build /opt/xmguard /opt/xmguard
ENV PATH=/opt/xmguard/bin:$PATH \
    XMGUARD_CACHE=/opt/models \
    HOME=/tmp/home HF_HOME=/tmp/huggingface VLLM_CACHE_ROOT=/tmp/vllm TRITON_CACHE_DIR=/tmp/triton \
    TORCHINDUCTOR_CACHE_DIR=/tmp/inductor NUMBA_CACHE_DIR=/tmp/numba \
    VLLM_NO_USAGE_STATS=1 HF_HUB_OFFLINE=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
WORKDIR /tmp
EXPOSE 50051 8080 9464
STOPSIGNAL SIGTERM
# Without a proxy, which Docker may put into the environment: it cannot reach the container's loopback.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20m --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; \
r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:9464/readyz', timeout=4)"]
ENTRYPOINT ["xmguard", "serve"]
CMD ["--help"]
