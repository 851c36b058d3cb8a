# xmguard on a CPU: the transformers engine, its default models, and the plugins of this repository.
#
#   docker build -f deploy/docker/cpu.Dockerfile -t xmguard:cpu .
#
# Pin the base by digest where you build: --build-arg PYTHON_IMAGE=python:3.12.12-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.12.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /source
RUN python -m venv /opt/xmguard
# torch without CUDA comes from its own index; constraints.txt names the newest release that it has.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY xmguard ./xmguard
COPY server ./server
COPY research ./research
COPY plugins ./plugins
ARG EXTRAS=server,mcp,tracing
RUN /opt/xmguard/bin/pip install -c constraints.txt --extra-index-url "${TORCH_INDEX}" ".[${EXTRAS}]" \
      ./plugins/xmguard-image ./plugins/xmguard-lang-european ./plugins/xmguard-lang-is ./plugins/xmguard-lang-tr \
      ./plugins/xmguard-lang-zh ./plugins/xmguard-smollm2-mixed ./plugins/xmguard-smolvlm-tiny
# Models in the image start without a network; leave MODELS empty to mount them instead.
ARG MODELS="smollm2 smollm2-mixed"
ENV XMGUARD_CACHE=/opt/models
RUN mkdir -p /opt/models && for model in ${MODELS}; do /opt/xmguard/bin/xmguard models pull "${model}" || exit 1; done

FROM ${PYTHON_IMAGE} AS run
LABEL org.opencontainers.image.title="xmguard" \
      org.opencontainers.image.description="Answers over several sources, and says whether they contradict each other" \
      org.opencontainers.image.licenses="Apache-2.0"
# Numbers, so that Kubernetes can see that it is not root. Nothing below is writable by it.
RUN groupadd --gid 10001 xmguard && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin xmguard
COPY --from=build /opt/xmguard /opt/xmguard
COPY --from=build /opt/models /opt/models
# The root file system can be read-only: what is written at run time goes to /tmp, which is mounted.
ENV PATH=/opt/xmguard/bin:$PATH \
    XMGUARD_CACHE=/opt/models \
    HOME=/tmp/home HF_HOME=/tmp/huggingface TORCHINDUCTOR_CACHE_DIR=/tmp/inductor NUMBA_CACHE_DIR=/tmp/numba \
    HF_HUB_OFFLINE=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /tmp
EXPOSE 50051 8080 9464
STOPSIGNAL SIGTERM
# Ready, not only alive: a container that loads a model for minutes is "starting" until then.
# Without a proxy, which Docker may put into the environment: it cannot reach the container's loopback.
HEALTHCHECK --interval=15s --timeout=5s --start-period=10m --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; \
r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:9464/readyz', timeout=4)"]
ENTRYPOINT ["xmguard", "serve"]
CMD ["--help"]
