"""Checks of deploy/ by the tools of what it deploys to. They have an environment of their own (`make test-deploy`)."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("helm_python") else ["test_*.py"]
