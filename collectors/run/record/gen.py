#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Make what depends on record.json: the runner's C tables, the JSON Schema, the tables of fields.

usage: gen.py types|shapes|schema|fields >FILE     (make does it, into build/gen)
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from collectors.run.record.describe import Description, Field, Shape, Value, load, pattern  # noqa: E402

HEAD = "/* Made from collectors/run/record/record.json by gen.py; do not edit. */\n"


# ---- C: what a guest may send ----


def guest_lines(d: Description) -> list[Shape]:
    return [s for s in d.lines if s.from_guest]


def line_types(d: Description) -> list[str]:
    return list(dict.fromkeys(s.type for s in guest_lines(d)))


def used_objects(d: Description, shapes: list[Shape]) -> list[Shape]:
    """The objects these lines are made of, innermost first."""
    found: dict[str, Shape] = {}
    for shape in shapes:
        for f in shape.fields:
            if f.value.is_a in ("object", "objects"):
                inner = d.objects[f.value.of]
                found |= {s.name: s for s in used_objects(d, [inner])}
                found[inner.name] = inner
    return list(found.values())


def used_values(d: Description, shapes: list[Shape]) -> list[Value]:
    """The kinds of value in these shapes, those they are made of first."""
    found: dict[str, Value] = {}

    def add(value: Value) -> None:
        if value.is_a in ("map", "list", "pairs"):
            add(d.values[value.of])
        if value.is_a == "pairs":
            add(d.values[value.first])
        found[value.name] = value

    for shape in shapes:
        for f in shape.fields:
            add(f.value)
    return list(found.values())


def c_string(text: str) -> str:
    return json.dumps(text)


def c_chars(chars: str) -> str:
    """Inside of a character class -> all its characters."""
    return c_string("".join(chr(c) for c in range(32, 127) if re.fullmatch(f"[{chars}]", chr(c))))


def c_value(v: Value) -> str:
    parts = [f".is_a = IS_{v.is_a.upper()}"]
    if v.is_a in ("int", "text", "hex", "map", "list", "pairs", "objects"):
        parts += [f".low = {v.low}LL", f".high = {v.high}LL"]
    if v.is_a == "number":
        parts += [f".low = {int(v.low)}LL", f".high = {int(v.high)}LL"]
    if v.is_a == "hex":
        parts.append(f".chars = {c_chars('0-9a-fA-Fx')}")
    if v.is_a == "text" and v.chars:
        parts.append(f".chars = {c_chars(v.chars)}")
    if v.is_a == "text" and v.first:
        parts.append(f".first_chars = {c_chars(v.first)}")
    if v.is_a == "words":
        parts.append("(const char *const []){ " + ", ".join(map(c_string, v.words)) + ", NULL }")
        parts[-1] = f".words = {parts[-1]}"
    if v.is_a in ("map", "list", "pairs"):
        parts.append(f".of = &value_{v.of}")
    if v.is_a == "pairs":
        parts.append(f".first = &value_{v.first}")
    if v.is_a in ("object", "objects"):
        parts.append(f".object = &object_{v.of}")
    if v.null:
        parts.append(".null = true")
    return f"static const struct value value_{v.name} = {{\n\t" + ",\n\t".join(parts) + ",\n};\n"


def c_shape(kind: str, name: str, shape: Shape, schema: int) -> str:
    rows = []
    for f in shape.fields:
        row = [f".name = {c_string(f.name)}", f".value = &value_{f.value.name}"]
        if f.needed(schema):
            row.append(".required = true")
        if f.unless:
            row.append(f".unless = {c_string(f.unless)}")
        if f.null:
            row.append(".null = true")
        rows.append("\t{ " + ", ".join(row) + " },\n")
    return (
        f"static const struct field {kind}_{name}_fields[] = {{\n{''.join(rows)}\t{{ 0 }},\n}};\n"
        f"static const struct object {kind}_{name} = {{ {c_string(name)}, {kind}_{name}_fields,"
        f" {'true' if shape.closed else 'false'} }};\n"
    )


def c_types(d: Description) -> str:
    """The types of line a guest may send, and the bounds of all."""
    names = "".join(f"\tLINE_{t.upper()},\n" for t in line_types(d))
    bounds = "".join(f"#define RECORD_MAX_{k.upper()}\t{v}\n" for k, v in d.bounds.items())
    return (
        f"{HEAD}#ifndef GEN_RECORD_TYPES_H\n#define GEN_RECORD_TYPES_H\n\n#define RECORD_SCHEMA\t{d.schema}\n"
        f"{bounds}\nenum line_type {{\n\tLINE_BAD = -1,\n{names}}};\n\n#endif\n"
    )


def c_shapes(d: Description) -> str:
    lines = guest_lines(d)
    out = [HEAD]
    made: set[str] = set()

    def values_of(shapes: list[Shape]) -> None:
        for v in used_values(d, shapes):
            if v.name not in made:
                made.add(v.name)
                out.append(c_value(v))

    for shape in used_objects(d, lines):
        values_of([shape])
        out.append(c_shape("object", shape.name, shape, d.schema))
    values_of(lines)
    rows = []
    for shape in lines:
        name = f"{shape.type}_{shape.kind}" if shape.kind else shape.type
        out.append(c_shape("line", name, shape, d.schema))
        by = c_string(shape.by) if shape.by else "NULL"
        kind = c_string(shape.kind) if shape.kind else "NULL"
        rows.append(f"\t{{ {c_string(shape.type)}, LINE_{shape.type.upper()}, {by}, {kind}, &line_{name} }},\n")
    out.append(f"static const struct line_shape line_shapes[] = {{\n{''.join(rows)}}};\n")
    return "\n".join(out)


# ---- JSON Schema ----


def schema_value(d: Description, v: Value) -> dict[str, Any]:
    if v.is_a == "bool":
        return {"type": "boolean"}
    if v.is_a in ("int", "number"):
        kind = "integer" if v.is_a == "int" else "number"
        return {"type": kind, "minimum": v.low, "maximum": v.high}
    if v.is_a in ("text", "hex"):
        regex = pattern(v)
        if regex:
            return {"type": "string", "pattern": f"^(?:{regex.pattern})$"}
        return {"type": "string", "minLength": v.low, "maxLength": v.high}
    if v.is_a == "words":
        return {"enum": list(v.words)}
    if v.is_a == "map":
        return {"type": "object", "maxProperties": v.high, "additionalProperties": reference(v.of)}
    if v.is_a == "list":
        return {"type": "array", "maxItems": v.high, "items": reference(v.of)}
    if v.is_a == "pairs":
        pair = {"type": "array", "prefixItems": [reference(v.first), reference(v.of)], "minItems": 2, "maxItems": 2}
        return {"type": "array", "maxItems": v.high, "items": pair}
    inner: dict[str, Any] = {"$ref": f"#/$defs/object.{v.of}"}
    if v.is_a == "object":
        return inner
    if v.null:
        inner = {"anyOf": [inner, {"type": "null"}]}
    return {"type": "array", "maxItems": v.high, "items": inner}


def reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def schema_field(f: Field) -> dict[str, Any]:
    out = reference(f.value.name)
    if f.null:
        out = {"anyOf": [out, {"type": "null"}]}
    return out | ({"description": f.says} if f.says else {})


def schema_shape(shape: Shape, schema: int) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    if shape.type:
        properties["type"] = {"const": shape.type}
    if shape.by:
        properties[shape.by] = {"const": shape.kind}
    fields = [f for f in shape.fields if f.allowed(schema)]
    required = [*properties, *(f.name for f in fields if f.needed(schema) and not f.unless)]
    properties |= {f.name: schema_field(f) for f in fields}
    if shape.type == "run":
        properties["schema"] = {"const": schema}
    out: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    if shape.closed:
        out["additionalProperties"] = False
    unless: dict[str, list[str]] = {}
    for f in fields:
        if f.unless:
            unless.setdefault(f.unless, []).append(f.name)
    for flag, names in unless.items():
        out["anyOf"] = [{"properties": {flag: {"const": True}}, "required": [flag]}, {"required": names}]
    return out


def json_schema(d: Description, schema: int) -> dict[str, Any]:
    """The JSON Schema of a line of a record.jsonl of that schema."""
    definitions = {v.name: schema_value(d, v) for v in d.values.values()}
    definitions |= {f"object.{s.name}": schema_shape(s, schema) for s in d.objects.values()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of record.jsonl",
        "$comment": "SPDX-License-Identifier: GPL-2.0-or-later. Made from collectors/run/record/record.json."
        " A file is one `run` line, any number of others in the order of t_ns, one `end` line.",
        "oneOf": [schema_shape(s, schema) for s in d.lines if s.in_record],
        "$defs": definitions,
    }


# ---- tables for people ----


def range_of(v: Value) -> str:
    if v.is_a in ("int", "number"):
        return f"{v.low:g}..{v.high:g}" if v.is_a == "number" else f"{v.low}..{v.high}"
    if v.is_a == "words":
        return ", ".join(v.words)
    if v.is_a in ("map", "list", "pairs", "objects"):
        return f"{v.is_a} of {v.of}, at most {v.high}"
    if v.is_a == "text":
        return f"text of {v.low}..{v.high} bytes" + (f" of {v.chars}" if v.chars else "")
    return v.is_a


def fields_table(shape: Shape) -> str:
    rows = [
        f"| `{f.name}` | {f.value.name}{' or null' if f.null else ''} |"
        f" {'yes' if f.need == 1 and not f.unless else f'unless {f.unless}' if f.unless else f'since {f.need}' if f.need else ''}"
        f" | {f.says} |\n"
        for f in shape.fields
    ]
    return "| field | value | required | meaning |\n|---|---|---|---|\n" + "".join(rows)


def field_tables(d: Description) -> str:
    out = ["# Fields of the run record\n\nMade from collectors/run/record/record.json.\n"]
    for s in d.lines:
        title = f"{s.type} {s.kind}".strip()
        where = "" if s.in_record else "; guest stream only"
        out.append(f"\n## {title}\n\nFrom the {'guest' if s.from_guest else 'runner'}{where}. {s.says}\n\n{fields_table(s)}")
    for s in d.objects.values():
        out.append(f"\n## Object {s.name}\n\n{fields_table(s)}")
    out.append("\n## Values\n\n| value | allowed | |\n|---|---|---|\n")
    out.append("".join(f"| {v.name} | {range_of(v)} | {v.says} |\n" for v in d.values.values()))
    return "".join(out)


def main() -> int:
    d = load()
    makers = {
        "types": lambda: c_types(d),
        "shapes": lambda: c_shapes(d),
        "schema": lambda: json.dumps(json_schema(d, d.schema), indent=1) + "\n",
        "fields": lambda: field_tables(d),
    }
    if len(sys.argv) != 2 or sys.argv[1] not in makers:
        print(__doc__, file=sys.stderr)
        return 2
    sys.stdout.write(makers[sys.argv[1]]())
    return 0


if __name__ == "__main__":
    sys.exit(main())
