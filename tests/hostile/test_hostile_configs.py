"""Configurations that are bombs, code, junk, or of the wrong types."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from refusals import accepted, check, command, fifo, flipped, refused

from adasise_bench.methods.registry import METHODS
from adasise_bench.run.config import RunConfig
from adasise_bench.run.config_file import load_config
from adasise_bench.utils.errors import ConfigError

pytestmark = pytest.mark.usefixtures("bounded")

SOUND = (
    "name: sound\ndata: {root: /pictures}\nmodels: {resnet50: {}}\n"
    "methods:\n- sise\n- {name: ada_sise, selector: otsu}\n- extremal_perturbation\n"
)
TOUCH = "python/object/apply:os.system ['touch executed']"
LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))

TEXTS = {
    "laughs": LAUGHS,
    "cycle": "models: &a [*a]",
    "merge of an alias": "a: &a {b: 1}\nmodels:\n  <<: *a",
    "alias without anchor": "models: *nowhere",
    "anchor of a key": "&a models: {}\nmethods: *a",
    "key twice": "seed: 1\nseed: 1",
    "key twice below": "data: {root: a, root: b}",
    "key twice in flow": "{models: {}, models: {}}",
    "list as key": "? [a, b]\n: 1",
    "mapping as key": "? {a: b}\n: 1",
    "null as key": "null: 1",
    "bool as key": "true: 1",
    "number as model": "models: {1: {}}\nmethods: [sise]",
    "number as option": "models: {resnet50: {1: x}}\nmethods: [sise]",
    "number as method option": "models: {resnet50: {}}\nmethods: [{name: sise, 1: x}]",
    "call": f"models: !!{TOUCH}",
    "call as key": f"? !!{TOUCH}\n: 1",
    "call in a list": f"models: {{resnet50: {{}}}}\nmethods: [!!{TOUCH}]",
    "new object": "models: !!python/object/new:subprocess.Popen [touch, executed]",
    "object with state": "models: !!python/object:collections.Counter {a: 1}",
    "name": "models: !!python/name:os.system",
    "module": "models: !!python/module:os",
    "tuple": "models: !!python/tuple [a]",
    "long tag": "models: !<tag:yaml.org,2002:python/object/apply:os.system> ['touch executed']",
    "tag of one's own": "models: !mine {}",
    "tag directive": "%TAG ! tag:yaml.org,2002:python/\n---\na: !object/apply:os.system ['touch executed']",
    "deep lists": "models: " + "[" * 5_000,
    "deep closed lists": "models: " + "[" * 400 + "]" * 400,
    "deep mappings": "models: " + "{a: " * 10_000,
    "deep blocks": "\n".join(" " * i + "a:" for i in range(300)),
    "deep questions": "? " * 20_000,
    "deep dashes": "- " * 20_000,
    "many keys": "\n".join(f"k{i}: 0" for i in range(1_500)),
    "too many keys": "\n".join(f"k{i}: 0" for i in range(200_000)),
    "decimal of 9000 digits": f"{SOUND}seed: {'9' * 9000}",
    "hexadecimal of 9000 digits": f"{SOUND}seed: 0x{'f' * 9000}",
    "binary of 30000 digits": f"{SOUND}seed: 0b{'1' * 30_000}",
    "sexagesimal": f"{SOUND}seed: 1{':59' * 9000}",
    "huge in a method": "models: {resnet50: {}}\nmethods: [0x" + "f" * 9000 + "]",
    "beyond 64 bits": f"{SOUND}seed: 18446744073709551616",
    "negative": f"{SOUND}seed: -1",
    "infinite": f"{SOUND}seed: .inf",
    "not a number": f"{SOUND}seed: .nan",
    "a float": f"{SOUND}seed: 1.5",
    "impossible date": f"{SOUND}seed: 2001-99-99",
    "date": f"{SOUND}seed: 2001-01-01",
    "broken base64": f"{SOUND}score: !!binary '***'",
    "bytes": f"{SOUND}score: !!binary /w==",
    "set": f"{SOUND}score: !!set {{a, b}}",
    "omap": f"{SOUND}score: !!omap [a: 1]",
    "broken omap": f"{SOUND}score: !!omap [1]",
    "pairs": f"{SOUND}score: !!pairs [a: 1]",
    "float from text": f"{SOUND}seed: !!float x",
    "two documents": f"{SOUND}---\n{SOUND}",
    "directive": "%YAML 9.9\n---\na: 1",
    "tabs": "models:\n\tresnet50: {}",
    "only a comment": "# nothing",
    "a word": "models",
    "a number": "3",
    "a list": "[models, methods]",
    "null": "null",
    "unclosed quote": "name: 'abc",
    "unclosed mapping": "data: {root: a",
    "wrong indent": "data:\n  root: a\n year: b",
    "NUL": "name: a\0b",
    "escaped NUL": f'{SOUND}score: "a\\0b"',
    "escape codes": f'{SOUND}score: "\\e[31mred\\n\\rline"',
    "escape codes in a key": f'{SOUND}"\\e[31mred\\nline": 1',
    "surrogate": f'{SOUND}score: "\\ud800"',
    "surrogate key": f'{SOUND}"\\ud800": 1',
    "surrogate path": '"data": {"root": "\\ud800", "year": 3}\nmodels: {resnet50: {}}\nmethods: [sise]',
    "right to left": f'{SOUND}score: "\u202esoftmax"',
    "long key": f"{SOUND}{'k' * 1000}: 1",
    "longer key": f'{SOUND}? "{"k" * 50_000}"\n: 1',
    "long value": f"{SOUND}score: {'v' * 50_000}",
    "long name": SOUND.replace("name: sound", f"name: {'n' * 5000}"),
    "long label": "models: {resnet50: {}}\nmethods: [{name: sise, label: " + "l" * 5000 + "}]",
    "traversing name": SOUND.replace("name: sound", "name: ../../sound"),
    "traversing label": "models: {resnet50: {}}\nmethods: [{name: sise, label: ../up}]",
    "method without a name": "models: {resnet50: {}}\nmethods: [{label: x}]",
    "method named by a list": "models: {resnet50: {}}\nmethods: [{name: [sise]}]",
    "null method": "models: {resnet50: {}}\nmethods: [null]",
    "nested methods": "models: {resnet50: {}}\nmethods: [[sise]]",
    "null model": "models: {resnet50: null}\nmethods: [sise]",
    "hash of another kind": "models: {resnet50: {sha256: zzzzzzzz}}\nmethods: [sise]",
}


@pytest.mark.parametrize("kind", TEXTS)
def test_texts(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "hostile.yaml"
    path.write_text(TEXTS[kind], encoding="utf-8", errors="surrogatepass")
    refused(lambda: load_config(path), "hostile.yaml", kind=ConfigError)


BYTES = {
    "UTF-16": SOUND.encode("utf-16"),
    "UTF-32": SOUND.encode("utf-32"),
    "Latin-1": SOUND.replace("sound", "bär").encode("latin-1"),
    "zeros": bytes(5000),
    "all bytes": bytes(range(256)) * 20,
    "ELF": b"\x7fELF\x02\x01\x01" + bytes(60),
    "JPEG": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(90),
    "pickle": b"\x80\x04cos\nsystem\n\x8c\x0etouch executed\x85R.",
    "gzip": b"\x1f\x8b\x08" + bytes(40),
}


@pytest.mark.parametrize("kind", BYTES)
def test_bytes(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "hostile.yaml"
    path.write_bytes(BYTES[kind])
    refused(lambda: load_config(path), "hostile.yaml", kind=ConfigError)


def test_what_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "a\0b", tmp_path / ("n" * 5000), Path("/dev/zero"), tmp_path / "no"):
        refused(lambda path=path: load_config(path), kind=ConfigError)  # type: ignore[misc]


def _keys() -> list[str]:
    """Every key of a configuration, by label for the methods."""
    keys = []
    for name, field in RunConfig.model_fields.items():
        keys.append(name)
        below = getattr(field.annotation, "model_fields", {})
        keys += [f"{name}.{key}" for key in below]
    keys += [f"models.resnet50.{key}" for key in ("checkpoint", "sha256", "blocks")]
    for name, entry in METHODS.items():
        keys += [f"methods.{name}.{key}" for key in entry.load().model_fields]
    return keys


WRONG = {
    "mapping": "{a: {b: 1}}",
    "list": "[[1], {2: 3}]",
    "huge": "0x" + "f" * 5000,
    "not a number": ".nan",
    "date": "2001-01-01",
    "bytes": "!!binary /w==",
    "code": f"!!{TOUCH}",
}


@pytest.mark.parametrize("key", _keys())
def test_wrong_types_for_every_key(tmp_path: Path, key: str) -> None:
    path = tmp_path / "hostile.yaml"
    path.write_text(SOUND)
    for value in WRONG.values():
        message = refused(lambda v=value: load_config(path, [f"{key}={v}"]), kind=ConfigError)  # type: ignore[misc]
        assert key.rsplit(".", 1)[-1] in message or key.split(".")[0] in message


OVERRIDES = [
    "methods.²=null",
    "methods.٣=null",
    f"methods.{'9' * 5000}=null",
    "methods.-1=null",
    "methods.=null",
    f"{'a.' * 3000}b=1",
    f"data.{'root.' * 3000}b=1",
    "=1",
    "a",
    "",
    ".=1",
    "...=1",
    "models.=null",
    "models.resnet50.=1",
    "methods.0.name=null",
    "methods.0=[]",
    "methods.0.name={}",
    "models.\0=null",
    "seed=&a [*a]",
    f"seed={'9' * 9000}",
    f"seed=0x{'f' * 9000}",
    f"score={'[' * 2000}",
    f"score={'x' * 50_000}",
    "score=\x1b[31m",
    f"name={'n' * 3000}",
    "name=a/b",
    "methods.sise.label=a/b",
    "score=a\nb",
    f"{'k' * 50_000}=1",
    "models={1: {}}",
    "models={[a]: {}}",
    "methods={sise: {}}",
    "data=null",
    "data.root={}",
    "engine=1",
    "engine.layout.x.y=1",
    "name.x.y=1",
    "methods.sise.sise.sise=1",
]


@pytest.mark.parametrize("override", OVERRIDES, ids=lambda text: repr(text[:30]))
def test_overrides(tmp_path: Path, override: str) -> None:
    path = tmp_path / "sound.yaml"
    path.write_text(SOUND)
    refused(lambda: load_config(path, [override]), kind=ConfigError)


@pytest.mark.parametrize("models", ["{1: {}}", "{null: {}}", "{true: 3}"])
def test_picks_from_odd_names(tmp_path: Path, models: str) -> None:
    path = tmp_path / "hostile.yaml"
    path.write_text(f"models: {models}\nmethods: [3, null, [sise], {{1: 2}}, 0x{'f' * 9}]")
    refused(lambda: load_config(path, [], ["resnet50"]), "resnet50", kind=ConfigError)
    refused(lambda: load_config(path, [], [], ["sise"]), "sise", kind=ConfigError)


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates()
_trees = st.recursive(
    _scalars,
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=6) | _scalars, below, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(sorted(RunConfig.model_fields)), _trees, max_size=6),
    st.dictionaries(st.sampled_from([k for k in _keys() if "." in k]), _trees, max_size=2),
)
def test_any_tree_gives_a_configuration_or_one_line(
    tmp_path: Path, tree: dict[str, object], overrides: dict[str, object]
) -> None:
    path = tmp_path / "hostile.yaml"
    path.write_text(yaml.dump(yaml.safe_load(SOUND) | tree), encoding="utf-8")
    texts = [f"{key}={yaml.dump(value, default_flow_style=True)}" for key, value in overrides.items()]
    config = accepted(lambda: load_config(path, texts))
    assert config is None or load_config(path, texts).digest() == config.digest()


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_flipped_bits_give_a_configuration_or_one_line(tmp_path: Path, seed: int, bits: int) -> None:
    path = tmp_path / "hostile.yaml"
    path.write_bytes(flipped(SOUND.encode(), seed, bits))
    accepted(lambda: load_config(path).digest())


def test_from_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "hostile.yaml"
    for kind in ("laughs", "call", "deep lists", "hexadecimal of 9000 digits", "escape codes in a key"):
        path.write_text(TEXTS[kind])
        assert command("run", "--config", path, "--output", tmp_path / "run").exit_code == 2
    assert not (tmp_path / "run").exists()


def test_the_error_itself_keeps_to_one_line() -> None:
    error = ConfigError(f"a\nb\x1b[2J\u2028{'x' * 5000}; the cure")
    check(error, "a b [2J", "; the cure")
    assert str(ConfigError("C:\\ä  ☃.yaml")) == "C:\\ä  ☃.yaml"


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    """A shell's ``<(...)`` is a pipe, so pipes are read."""
    import threading

    path = fifo(tmp_path / "pipe.yaml")
    writer = threading.Thread(target=path.write_text, args=(SOUND,))
    writer.start()
    assert load_config(path).name == "sound"
    writer.join()
