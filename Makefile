# Two commands for a newcomer, each doing all its own set-up: make demo, make test.

PYTHON ?= python3
# The support floor's interpreter: the first Python 3.10 that runs.
PYTHON310 ?= $(shell for p in python3.10 $$HOME/.pyenv/versions/3.10.*/bin/python; do \
	$$p -c "" 2>/dev/null && echo $$p && break; done)
# The ceiling's: the newest supported Python that runs.
PYTHON313 ?= $(shell for p in python3.13 $$HOME/.pyenv/versions/3.13.*/bin/python $(PYTHON); do \
	$$p -c "" 2>/dev/null && echo $$p && break; done)

PYTEST := -m pytest -q -n auto --maxprocesses 4
# Several processes share the cores: a thread that waits must not keep one busy.
test test-floor test-ceiling: export OMP_WAIT_POLICY := passive

DEMO_PHOTO := tests/data/solvay-1927.png

.PHONY: demo test test-ray acceptance-batch fuzz check test-matrix test-floor test-ceiling detector benchmark \
	benchmark-page benchmark-scale benchmark-cuda clean

demo: .venv/ready
	.venv/bin/gpen2048 restore $(DEMO_PHOTO) -o demo/restored.png --scale 2 --demo \
		--compare demo/before-and-after.png --report demo/report.json
	@echo "Look at demo/before-and-after.png, demo/restored.png and demo/report.json."

test: .venv/ready
	.venv/bin/python $(PYTEST)

# Thousands of damaged weight files, for at most ten minutes.
fuzz: .venv/ready
	OMP_NUM_THREADS=1 .venv/bin/python tests/fuzz/fuzz.py --minutes 9

# Minutes long, and Ray is a download of 70 MB: not among the tests of every commit.
test-ray: .venv/ready-ray
	GPEN_TEST_RAY=1 .venv/bin/python -m pytest -q tests/ray

acceptance-batch: .venv/ready-ray
	.venv/bin/python tests/e2e/batch.py

check: .venv/ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright --pythonpath .venv/bin/python

test-matrix: test-floor test-ceiling

test-floor: .venv-floor/ready
	.venv-floor/bin/python $(PYTEST)

test-ceiling: .venv-ceiling/ready
	.venv-ceiling/bin/python $(PYTEST)

# The RetinaFace weights; only make benchmark cannot do without.
DETECTOR ?= $(firstword $(wildcard $(foreach name,detection_Resnet50_Final RetinaFace-R50 \
	detection_mobilenet0.25_Final,$(addprefix weights/$(name),.safetensors .pth .pt .onnx))))

# Said before an hour of measuring.
detector:
	@test -f "$(DETECTOR)" || { echo "make benchmark wants RetinaFace's weights, and $(if $(DETECTOR),$(DETECTOR) is no\
	 file,weights/ has none): name the file with DETECTOR=FILE (weights/README.md has links)"; exit 1; }

benchmark: detector .venv/ready
	.venv/bin/python -m pip install -q --disable-pip-version-check -e ".[benchmark]"
	.venv/bin/python benchmarks/network.py --sizes 256 512 1024 2048 --low-memory --rounds 3
	.venv/bin/python benchmarks/network.py --sizes 512 --batches 2 4 --baselines onnxruntime --rounds 3 --add
	.venv/bin/python benchmarks/network.py --sizes 2048 --batches 2 --baselines onnxruntime --rounds 2 --add
	.venv/bin/python benchmarks/pipeline.py --detector "$(DETECTOR)"
	.venv/bin/python benchmarks/growth.py --detector "$(DETECTOR)"
	$(MAKE) benchmark-page

# On a machine with an NVIDIA GPU; AUTHORS=FOLDER names a checkout of the authors' code, to be measured beside ours.
benchmark-cuda: .venv/ready
	.venv/bin/python -m pip install -q --disable-pip-version-check -e ".[benchmark]"
	.venv/bin/python benchmarks/network.py --device cuda --sizes 512 2048 --low-memory --rounds 3 \
		$(if $(AUTHORS),--baselines reference authors --authors $(AUTHORS),--baselines reference)
	.venv/bin/python benchmarks/levels.py
	$(MAKE) benchmark-page

benchmark-page: .venv/ready
	.venv/bin/python -m pip install -q --disable-pip-version-check -e ".[benchmark]"
	.venv/bin/python benchmarks/page.py

benchmark-scale: .venv/ready-ray
	.venv/bin/python -m pip install -q --disable-pip-version-check -e ".[film,benchmark]"
	.venv/bin/python benchmarks/scale.py $(if $(DETECTOR),--detector "$(DETECTOR)")
	$(MAKE) benchmark-page

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install -q --disable-pip-version-check -e ".[test,check]"
	@touch $@

.venv/ready-ray: .venv/ready
	.venv/bin/python -m pip install -q --disable-pip-version-check -e ".[ray]"
	@touch $@

.venv-floor/ready: pyproject.toml .ci/floor.txt
	@test -n "$(PYTHON310)" || { echo "test-floor needs Python 3.10; name one with PYTHON310=..."; exit 1; }
	$(PYTHON310) -m venv .venv-floor
	.venv-floor/bin/python -m pip install -q --disable-pip-version-check -e ".[test]" -c .ci/floor.txt
	@touch $@

.venv-ceiling/ready: pyproject.toml
	$(PYTHON313) -m venv .venv-ceiling
	.venv-ceiling/bin/python -m pip install -q --disable-pip-version-check --upgrade -e ".[test]"
	@touch $@

clean:
	rm -rf .venv .venv-floor .venv-ceiling demo build shared/*.egg-info
