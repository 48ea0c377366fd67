// JSON texts as a grammar: any object, or what a JSON Schema says.
//
// Every text of the grammar is valid, but not every valid text is one of the grammar's: a model
// that writes by it should not get lost. Members of an object come in the order of `properties`,
// and where there are some, no others; between tokens there is at most one space, or a line end and
// up to 24 spaces; numbers have up to 16 digits before and after the point.
//
// Read: type, properties, required, additionalProperties, items, prefixItems, minItems, maxItems,
// enum, const, anyOf, oneOf, allOf of one, $ref to "#" or below it, minLength, maxLength.
// Annotations (title, description, default, examples, format, ...) change nothing. Other keywords,
// which would change what is valid, are refused.
#pragma once

#include "base/json.h"
#include "infer/grammar.h"

namespace tnl {

GrammarWalk any_json_object();
// Throws UsageError naming the place in the schema, "#/properties/a/pattern", and what is wrong.
GrammarWalk json_schema_grammar(const Json& schema);

} // namespace tnl
