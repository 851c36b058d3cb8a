from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from xmguard import hookspecs
from xmguard import plugins as registry_module
from xmguard.errors import PluginError
from xmguard.hookspecs import hookimpl
from xmguard.languages.english import English
from xmguard.plugins import ALLOW_LIST, BUILT_INS, load_plugins
from xmguard.providers import ArchitectureProvider, BenchmarkProvider, JudgeProvider


@pytest.fixture(autouse=True)
def only_built_ins(monkeypatch: pytest.MonkeyPatch):
    """Entry points are what a test says they are, and all of them may load."""
    monkeypatch.delenv(ALLOW_LIST, raising=False)
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [])


def entry_points_are(monkeypatch: pytest.MonkeyPatch, **modules: str) -> None:
    found = [importlib.metadata.EntryPoint(name, value, hookspecs.PROJECT) for name, value in modules.items()]
    monkeypatch.setattr(registry_module, "entry_points", lambda group: found)


def a_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, source: str) -> None:
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)


QUIET = "from xmguard.hookspecs import hookimpl\n@hookimpl\ndef xmguard_policies(): return []\n"


class ProvidesPolicy:
    """A plugin with one policy."""

    __version__ = "1.2"

    def __init__(self, name: object) -> None:
        self.policy = SimpleNamespace(name=name, summary="a policy", parameters={}, plan=lambda measured, request: None)

    @hookimpl
    def xmguard_policies(self):
        return [self.policy]


def test_every_built_in_provides_something_and_says_what():
    found = {plugin.name: plugin.provides for plugin in load_plugins().plugins}
    assert set(found) == set(BUILT_INS)
    assert all(found.values()), found
    assert "policy:fixed" in found["builtin-rebalance"]


def test_what_a_plugin_provides_is_found_by_name_together_with_its_owner():
    plugin = ProvidesPolicy("later")
    registry = load_plugins(extra={"mine": plugin})
    assert registry.policies.get("later") is plugin.policy
    assert registry.policies.owners["later"] == "mine"
    assert "later" in registry.policies.names()
    mine = next(plugin for plugin in registry.plugins if plugin.name == "mine")
    assert (mine.version, mine.provides) == ("1.2", ("policy:later",))


def test_two_plugins_with_one_name_stop_start_up_and_both_are_named():
    with pytest.raises(PluginError, match="policy 'x' is provided twice") as error:
        load_plugins(extra={"one": ProvidesPolicy("x"), "two": ProvidesPolicy("x")})
    assert "'one'" in str(error.value)
    assert "'two'" in str(error.value)


def test_a_plugin_cannot_replace_a_built_in():
    with pytest.raises(PluginError, match=r"policy 'fixed' is provided twice.*builtin-rebalance"):
        load_plugins(extra={"mine": ProvidesPolicy("fixed")})


@pytest.mark.parametrize("name", ["", None, 5])
def test_a_provided_object_without_a_name_is_refused(name: object):
    with pytest.raises(PluginError, match=r"plugin 'mine': xmguard_policies returned .* which has no name"):
        load_plugins(extra={"mine": ProvidesPolicy(name)})


def test_an_object_that_lacks_a_part_of_its_contract_is_refused():
    plugin = ProvidesPolicy("half")
    del plugin.policy.plan, plugin.policy.parameters
    with pytest.raises(PluginError, match="policy 'half' is no RebalancePolicy; it lacks parameters, plan"):
        load_plugins(extra={"mine": plugin})


def test_a_language_is_found_whatever_the_case_of_its_tag():
    class Brazilian:
        tag, name, function_words, number_words = "pt-BR", "Portuguese (Brazil)", (), {}
        prompt_text = English.prompt_text

        def normalize(self, answer): ...

        def reports_conflict(self, answer): ...

        def asks_for_number(self, question): ...

        def sentences(self, text): ...

    class Plugin:
        @hookimpl
        def xmguard_languages(self):
            return [Brazilian()]

    registry = load_plugins(extra={"mine": Plugin()})
    assert registry.language("pt-br") is registry.language("PT-BR") is not None
    assert registry.language("pt") is None


def test_a_hook_that_does_not_exist_is_refused():
    class Misspelt:
        @hookimpl
        def xmguard_policy(self):
            return []

    with pytest.raises(PluginError, match=r"plugin 'mine'.*unknown hook 'xmguard_policy'") as error:
        load_plugins(extra={"mine": Misspelt()})
    assert "did you mean 'xmguard_policies'; known: xmguard_architectures, " in str(error.value)


def test_a_hook_that_may_be_missing_by_its_own_words_is_left_alone():
    class Forward(ProvidesPolicy):
        @hookimpl(optionalhook=True)
        def xmguard_of_tomorrow(self):
            return []

    assert "x" in load_plugins(extra={"mine": Forward("x")}).policies.names()


def test_a_plugin_without_any_hook_is_refused():
    with pytest.raises(PluginError, match="plugin 'mine' provides nothing: no function is marked @hookimpl"):
        load_plugins(extra={"mine": SimpleNamespace()})


def test_a_function_named_like_a_hook_that_is_not_marked_is_refused():
    class Half(ProvidesPolicy):
        def xmguard_modalities(self):
            return []

    with pytest.raises(PluginError, match="plugin 'mine': xmguard_modalities is not marked @hookimpl"):
        load_plugins(extra={"mine": Half("x")})


def test_an_argument_that_the_hook_does_not_have_is_refused():
    class Curious:
        @hookimpl
        def xmguard_policies(self, config):
            return []

    with pytest.raises(
        PluginError, match=r"'mine' cannot be registered: xmguard_policies asks for config; it takes no"
    ):
        load_plugins(extra={"mine": Curious()})


class Letters:
    """A modality."""

    name = "letters"
    media_types: object = ("text/csv",)

    def parts(self, span): ...


class Returns:
    """A plugin whose hook returns what a test says."""

    def __init__(self, given: object) -> None:
        self.given = given

    @hookimpl
    def xmguard_modalities(self):
        return self.given


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([Letters], r"xmguard_modalities returned the class Letters; return an object: Letters\(\)"),
        (Letters(), r"xmguard_modalities returned <.*Letters object.*>; return a list"),
        (None, "xmguard_modalities returned None; return a list"),
    ],
)
def test_what_is_no_list_of_objects_is_refused_with_what_to_return(given: object, expected: str):
    with pytest.raises(PluginError, match=f"plugin 'mine': {expected}"):
        load_plugins(extra={"mine": Returns(given)})


def test_two_modalities_for_one_media_type_stop_start_up_and_both_plugins_are_named():
    other = Letters()
    other.name = "cells"
    with pytest.raises(PluginError, match="media type 'text/csv' is taken twice") as error:
        load_plugins(extra={"one": Returns([Letters()]), "two": Returns([other])})
    assert "modality 'letters' of plugin 'one'" in str(error.value)
    assert "modality 'cells' of plugin 'two'" in str(error.value)


def test_media_types_in_one_string_are_refused():
    other = Letters()
    other.media_types = "text/csv"
    with pytest.raises(PluginError, match=r"media_types is a string; make it a tuple: \('text/csv',\)"):
        load_plugins(extra={"mine": Returns([other])})


def test_a_hook_that_raises_stops_start_up():
    class Broken:
        @hookimpl
        def xmguard_policies(self):
            raise OSError("no such file")

    with pytest.raises(PluginError, match="plugin 'mine': xmguard_policies failed: OSError: no such file"):
        load_plugins(extra={"mine": Broken()})


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("def", "SyntaxError"),
    ],
)
def test_a_plugin_that_does_not_import_stops_start_up(monkeypatch, tmp_path: Path, source: str, expected: str):
    a_module(monkeypatch, tmp_path, "broken_plugin", source)
    entry_points_are(monkeypatch, culprit="broken_plugin")
    with pytest.raises(PluginError, match=rf"plugin 'culprit' \(broken_plugin\) does not load: {expected}"):
        load_plugins()


def test_the_allow_list_decides_what_is_imported(monkeypatch, tmp_path: Path):
    a_module(monkeypatch, tmp_path, "broken_plugin", "raise ImportError")
    a_module(monkeypatch, tmp_path, "quiet_plugin", QUIET)
    entry_points_are(monkeypatch, culprit="broken_plugin", quiet="quiet_plugin")

    def names() -> set[str]:
        return {plugin.name for plugin in load_plugins().plugins} - set(BUILT_INS)

    monkeypatch.setenv(ALLOW_LIST, "")
    assert names() == set()
    monkeypatch.setenv(ALLOW_LIST, " quiet , builtin-models")
    assert names() == {"quiet"}
    monkeypatch.delenv(ALLOW_LIST)
    with pytest.raises(PluginError, match="culprit"):
        load_plugins()


def test_an_allowed_plugin_that_is_missing_stops_start_up(monkeypatch):
    entry_points_are(monkeypatch, quiet="quiet_plugin")
    monkeypatch.setenv(ALLOW_LIST, "quiet,gone")
    with pytest.raises(PluginError, match="names plugins that are not installed: gone; installed: quiet"):
        load_plugins()


def test_every_hook_has_a_user():
    """A built-in, or the stand-ins below: hooks nobody uses rot."""

    class Research:
        """Stands in for the plugins that bring observers, judges, benchmarks and architectures."""

        @hookimpl
        def xmguard_architectures(self):
            return [ArchitectureProvider("own", "module:register", "an architecture")]

        @hookimpl
        def xmguard_observers(self):
            return [SimpleNamespace(name="watch", observe=lambda event: None)]

        @hookimpl
        def xmguard_judges(self):
            return [JudgeProvider("judge", "a judge", "module:judge")]

        @hookimpl
        def xmguard_benchmarks(self):
            return [BenchmarkProvider("suite", "a suite", "module:suite")]

    registry = load_plugins(extra={"research": Research()})
    declared = {name for name in vars(hookspecs) if name.startswith("xmguard_")}
    manager = registry._manager
    assert {name for name in declared if not getattr(manager.hook, name).get_hookimpls()} == set()
    research = next(plugin for plugin in registry.plugins if plugin.name == "research")
    assert research.provides == ("architecture:own", "benchmark:suite", "judge:judge", "observer:watch")


def test_language_falls_back_to_the_primary_tag():
    registry = load_plugins()
    assert registry.language("en-GB") is registry.language("EN") is not None
    assert registry.language("xx") is None
