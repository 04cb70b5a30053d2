"""Where a decoded pool is not as its schema says: as much of JSON Schema as that schema uses."""

from trackpools.shell.pool_schema import pool_schema


def faults(pool):
    """Where a decoded pool is not as the schema says, by key."""
    return list(_faults(pool, pool_schema(), "pool"))


def _faults(value, schema, where):
    kinds = {
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "array": list,
        "object": dict,
        "null": type(None),
    }
    wanted = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(isinstance(value, kinds[kind]) for kind in wanted):
        yield f"{where}: {value!a:.60} is not {' or '.join(wanted)}"
    elif isinstance(value, dict):
        yield from (f"{where}: no {key}" for key in schema.get("required", ()) if key not in value)
        for key, one in value.items():
            told = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            if told:
                yield from _faults(one, told, f"{where}.{key}")
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _faults(one, schema["items"], f"{where}[{number}]")
