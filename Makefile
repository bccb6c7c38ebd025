# Echobook's commands; `make help` lists them. PYTHON is only used to create .venv.
PYTHON  ?= python3
PROFILE ?= default
SLUG    ?=
SEEDS   ?=
VERSION ?=
PORT    ?= 8000
ARGS    ?=
RUN     := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup book test chapter verify record serve lab bench twice check release clean context-demo

help: ## list the commands
	@echo "Echobook. Commands:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22
	@echo "Variables: PROFILE=smoke|default|public|paper SLUG=chapter SEEDS=0,1,2 PYTHON=python3.12 SLURM=1"

setup: ## create .venv and install the pinned packages (the other commands do this first)
	@"$(PYTHON)" workflow/set_up.py

book: setup ## run what is out of date, build and check the pages: make book [PROFILE=public]
	@"$(RUN)" -m echobook.pipeline.build --profile "$(PROFILE)" $(if $(SLURM),--slurm) $(ARGS)

test: setup ## run the tests
	@"$(RUN)" tests/run.py $(ARGS)

chapter: setup need-slug ## run one chapter: make chapter SLUG=advin [PROFILE=public]
	@"$(RUN)" -m echobook.pipeline.build --profile "$(PROFILE)" --slug "$(SLUG)" $(ARGS)

verify: setup need-slug ## run again and compare with the recorded results: make verify SLUG=advin
	@"$(RUN)" -m echobook.cli verify "$(SLUG)" --profile "$(PROFILE)" $(ARGS)

record: setup need-slug ## run and keep as recorded results: make record SLUG=advin PROFILE=public [SEEDS=0,1,2]
	@"$(RUN)" -m echobook.cli record "$(SLUG)" --profile "$(PROFILE)" $(if $(SEEDS),--seeds "$(SEEDS)") $(ARGS)

twice: setup need-slug ## run twice and compare to the last bit: make twice SLUG=advin
	@"$(RUN)" -m echobook.cli twice "$(SLUG)" --profile "$(PROFILE)" $(ARGS)

serve: setup ## show the built book at localhost:8000
	@test -f "_build/$(PROFILE)/html/index.html" || { echo "No book yet: make book PROFILE=$(PROFILE)"; exit 1; }
	@echo "http://localhost:$(PORT)/ (end with Ctrl-C)"
	@cd "_build/$(PROFILE)/html" && "$(CURDIR)/$(RUN)" -m http.server --bind localhost "$(PORT)"

lab: setup ## open JupyterLab; a double click on a chapter's .py opens it as a notebook
	@JUPYTER_CONFIG_DIR="$(CURDIR)/.jupyter" .venv/bin/jupytext-config set-default-viewer python > /dev/null
	@JUPYTER_CONFIG_DIR="$(CURDIR)/.jupyter" .venv/bin/jupyter lab --notebook-dir "$(CURDIR)" $(ARGS)

bench: setup ## print the measured figures (no thresholds are asserted)
	@"$(RUN)" -m pytest tests/benchmarks -s -q -p no:xdist -o addopts=--import-mode=importlib $(ARGS)

release: setup need-version check ## check, build and pack into one archive: make release VERSION=1.0
	@"$(RUN)" -m echobook.cli release "$(VERSION)" --profile "$(PROFILE)"

check: setup ## style, spelling, types, imports, notebook form, typed figures in prose
	@"$(RUN)" -m ruff check src tests notebooks workflow
	@"$(RUN)" -m ruff format --check src tests notebooks workflow
	@"$(RUN)" -m codespell_lib src tests notebooks workflow book README.md CONTRIBUTING.md Makefile
	@"$(RUN)" -m mypy src
	@"$(RUN)" -m pytest -q -p no:xdist tests/notebooks/test_form.py tests/pipeline/test_imports.py
	@"$(RUN)" -m echobook.report.lint

context-demo: setup ## play a dialogue stream through the context store on dynalite, live in the terminal
	@case "$(ARGS)" in *embedded*) ;; *) test -d workflow/dynalite/node_modules || { \
	  command -v npm > /dev/null || { echo "The demonstration's server, dynalite, needs Node 18 or newer with npm;"; \
	    echo "without it: make context-demo ARGS='--store embedded'"; exit 1; }; \
	  npm ci --prefix workflow/dynalite --ignore-scripts --no-audit --no-fund; };; esac
	@"$(RUN)" -m echobook.papers.context_store.demonstration $(ARGS)

clean: ## delete everything that was built (not .venv, not the data cache)
	@rm -rf _build .snakemake .jupyter .pytest_cache .ruff_cache .mypy_cache .hypothesis

.PHONY: need-slug need-version
need-version:
	@test -n "$(VERSION)" || { echo "Which version? Add VERSION=..., for example VERSION=1.0"; exit 2; }
need-slug:
	@test -n "$(SLUG)" || { echo "Which chapter? Add SLUG=..., for example SLUG=advin"; exit 2; }
