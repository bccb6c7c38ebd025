"""Reading a claims file's YAML: a key given twice is refused, and errors name ids in place of positions."""

import re

import pydantic
import yaml

from echobook.report.errors import ClaimsError
from echobook.report.results import explain

LISTS = {"findings": "finding", "checks": "check", "claims": "claim"}
OLD_FORM = (
    "this is the old form: `claims:` became `findings:` and `checks:`, and the rules of a test became "
    "direction, bound and smallest effect; migrate it as 'From the old form' in book/claims-format.md says"
)


class _Loader(yaml.SafeLoader):
    """YAML's safe loader; it refuses a key given twice, reads 1e-6 as a number and a date as text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]  # type: ignore[no-untyped-call]
        repeated = sorted({str(key) for key in keys if keys.count(key) > 1})
        if repeated:
            raise ClaimsError(f"line {node.start_mark.line + 1}: {repeated[0]!r} appears twice")
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(  # type: ignore[no-untyped-call]
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(text: str, source: str) -> object:
    """Return what the text holds; `source` names it in errors."""
    try:
        plain: object = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ClaimsError) as error:
        raise ClaimsError(f"{source}: not a claims file: {error}") from error
    if isinstance(plain, dict) and "claims" in plain and "findings" not in plain:
        raise ClaimsError(f"{source}: {OLD_FORM}")
    return plain


def named_explanation(error: pydantic.ValidationError, plain: object) -> str:
    """Explain a validation error with ids and names of tests in place of positions."""
    return "; ".join(_named(line, plain) for line in explain(error).split("; "))


def _entry(plain: object, field: str, position: int) -> dict[object, object]:
    """Return the mapping at a position of a list, or an empty one where there is none."""
    listed = plain.get(field) if isinstance(plain, dict) else None
    found = listed[position] if isinstance(listed, list) and position < len(listed) else None
    return found if isinstance(found, dict) else {}


def _named(line: str, plain: object) -> str:
    found = re.match(rf"({'|'.join(LISTS)})\.(\d+)(?:\.tests\.(\d+))?(?:\.|(?=:))(.*)", line, re.DOTALL)
    if not found:
        return line
    statement = _entry(plain, found[1], int(found[2]))
    if "id" not in statement:
        return line
    names, rest = [f"{LISTS[found[1]]} {statement['id']}"], found[4]
    if found[3] is not None:
        test = _entry(statement, "tests", int(found[3]))
        names.append(f"test {test.get('name', found[3])}")
    return ": ".join([*names, rest.removeprefix(": ")])
