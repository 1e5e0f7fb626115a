"""Reads the Kotlin, C# and Go clients of openapi-generator for faults that compile and lose data: integers of 32 bits, classes
without properties, maps of permissions that became an empty class, and optional lists that are sent as empty ones.
"""

import json
import re
import sys
from pathlib import Path

document = json.loads(Path(sys.argv[1]).read_text())
schemas = document["components"]["schemas"]
FORM = "application/x-www-form-urlencoded"
faults = []


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


KOTLIN, CSHARP = Path("kotlin/src/main/kotlin/org/openapitools/client/models"), Path("csharp/src/Org.OpenAPITools/Model")


def kotlin(name):
    """The properties of a class: JSON name to (type, default)."""
    text = (KOTLIN / f"{name}.kt").read_text()
    found = re.findall(r'@Json\(name = "([^"]+)"\)\s+va[lr] \S+: ([^\n=]+?)(?: = ([^\n,]+))?,?\n', text)
    return {key: (kind.replace("kotlin.collections.", "").replace("kotlin.", ""), default) for key, kind, default in found}


def csharp(name):
    text = (CSHARP / f"{name}.cs").read_text()
    found = re.findall(r'\[JsonPropertyName\("([^"]+)"\)\]\s+public (\S+(?: \S+)*?) \w+ \{', text)
    constructor = re.search(rf"public {name}\((.*)\)", text)
    optional = set(re.findall(r"(\w+) = default", constructor[1])) if constructor else set()
    return {key: (kind, "default" if key.replace("_", "").lower() in {o.lower() for o in optional} else "") for key, kind in found}


def go(name):
    text = (Path("go") / f"model_{snake(name)}.go").read_text()
    found = re.findall(r'^\t\w+ (\S+) `json:"([^",]+)(,omitempty)?"', text, re.MULTILINE)
    return {key: (kind, optional) for kind, key, optional in found}


WIDE = {kotlin: ("Long",), csharp: ("long",), go: ("int64", "NullableInt64")}
MAP = {kotlin: "Map<String, List<String>>", csharp: "Dictionary<string, List<string>>", go: "map[string][]string"}

# A schema that a generator cannot express becomes a class of its own, which may have no properties.
classes = [*KOTLIN.glob("*.kt"), *CSHARP.glob("*.cs"), *Path("go").glob("model_*.go")]
known = {*schemas, *(f"model_{snake(name)}" for name in schemas)}
faults += [f"{file}: is no schema of the document" for file in classes if file.stem not in known]

# The fields of a form become parameters of a function.
operations = [operation for path in document["paths"].values() for operation in path.values() if isinstance(operation, dict)]
contents = [operation.get("requestBody", {}).get("content", {}) for operation in operations]
forms = [content[FORM]["schema"]["$ref"].rsplit("/", 1)[1] for content in contents if FORM in content]

for name, schema in schemas.items():
    if schema.get("type") != "object" or not schema.get("properties") or name in forms:
        continue
    for language, wide in WIDE.items():
        fields = language(name)
        for key, value in schema["properties"].items():
            where = f"{language.__name__}, {name}.{key}"
            if key not in fields:
                faults.append(f"{where}: is missing")
                continue
            kind, default = fields[key]
            bare = kind.strip("?*")
            if value.get("type") == "integer" and value.get("maximum", 2**53) > 2**31 - 1 and bare not in wide:
                faults.append(f"{where}: {kind} is too small")
            items = value.get("additionalProperties")
            if isinstance(items, dict) and items.get("type") == "array" and bare != MAP[language]:
                faults.append(f"{where}: {kind} instead of a map of lists")
            if value.get("type") == "array" and key not in schema.get("required", []) and not default:
                faults.append(f"{where}: an optional list is sent even if it is not set")
            if value.get("type") == "array" and "List()" in default + kind:
                faults.append(f"{where}: an optional list is empty by default")

if faults:
    sys.exit("\n".join(faults))
print(f"openapi-generator, Kotlin, C# and Go: {len(schemas)} schemas are complete")
