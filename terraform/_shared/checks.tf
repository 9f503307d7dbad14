# These checks find at plan what Helm refuses at apply. Every value gets its path, and its key in schema.json, level by
# level, because Terraform has no recursion. A key with an unknown value is checked at apply.
locals {
  schema = jsondecode(file("${path.module}/schema.json"))

  # A value: its path, its JSON text (the first character shows the type), its text in messages, and its checks'
  # key in schema.json.
  level_1 = {
    for key, value in local.given : key => [
      for each in [value] : {
        path  = key, value = each, json = jsonencode(each), at = local.schema[""].properties[key],
        shown = try(local.schema[local.schema[""].properties[key]].secret, jsonencode(each))
      } if each != null
    ]
  }
  level_2 = {
    for key, values in local.level_1 : key => flatten([
      for above in values : [
        [
          for map in [above] : [
            for name, value in map.value : {
              path  = SEGMENT(map.path, name), value = value, json = jsonencode(value),
              at    = try(local.schema[map.at].properties[name], local.schema[map.at].additionalProperties),
              shown = try(local.schema[local.schema[map.at].properties[name]].secret, jsonencode(value))
            } if can(try(local.schema[map.at].properties[name], local.schema[map.at].additionalProperties))
          ] if startswith(map.json, "{")
        ],
        [
          for list in [above] : [
            for index, value in list.value : {
              path = "${list.path}[${index}]", value = value, json = jsonencode(value),
              at   = local.schema[list.at].items, shown = jsonencode(value)
            } if can(local.schema[list.at].items)
          ] if startswith(list.json, "[")
        ],
      ]
    ])
  }
  values_found = { for key in keys(local.given) : key => concat(LEVELS) }

  # A mistake: its path, and the text before and after the value.
  mistakes_found = {
    for key, values in local.values_found : key => flatten([
      for each in values : [
        [
          for type in try([local.schema[each.at].type], []) : {
            path = each.path, before = "", shown = each.shown,
            after = (
              can(regex(type.fits, each.json)) && !can(regex(local.schema[each.at].pattern.expression, each.json))
              ? " does not look like ${local.schema[each.at].pattern.words}"
              : " is not ${type.words}${can(regex(type.when, each.json)) ? replace(type.hint, "{}", each.json) : ""}"
            )
          } if !can(regex(type.expression, each.json))
        ],
        [
          for enum in try([local.schema[each.at].enum], []) : {
            path = each.path, before = "", shown = each.shown, after = " is none of ${enum.words}"
          } if !contains(enum.json, each.json)
        ],
        [
          for pattern in try([local.schema[each.at].pattern], []) : {
            path = each.path, before = "", shown = each.shown, after = " does not look like ${pattern.words}"
          } if startswith(each.json, "\"") && !can(regex(pattern.expression, each.value))
        ],
        [
          for limit in try(local.schema[each.at].numbers, []) : {
            path  = each.path, before = limit.least ? "" : "is too large, at most ${limit.words}",
            shown = limit.least ? each.shown : "", after = limit.least ? " is too small, at least ${limit.words}" : ""
          }
          if can(regex("^[-0-9]", each.json)) && try(limit.least ? each.value < limit.number : each.value > limit.number, false)
        ],
        [
          for limit in try(local.schema[each.at].sizes, []) : [
            for size in [limit.of == "\"" ? length(regexall("(?s).", each.value)) : length(each.value)] : {
              path   = each.path,
              before = limit.least ? (size == 0 ? "is empty, at least ${limit.words}" : "") : "is too large, at most ${limit.words}",
              shown  = limit.least && size > 0 ? each.shown : "",
              after  = limit.least && size > 0 ? " is too small, at least ${limit.words}" : ""
            } if limit.least ? size < limit.number : size > limit.number
          ] if startswith(each.json, limit.of)
        ],
        [
          for names in [[for name in try(local.schema[each.at].required, []) : name if !can(each.value[name])]] : {
            path = each.path, before = "${join(", ", names)} is missing", shown = "", after = ""
          } if length(names) > 0 && startswith(each.json, "{")
        ],
        [
          for one in try([local.schema[each.at].oneOf], []) : {
            path = each.path, before = one.words, shown = "", after = ""
          }
          if startswith(each.json, "{") && 1 != length([
            for names in one.required : names if alltrue([for name in names : can(each.value[name])])
          ])
        ],
        [
          for known in try([local.schema[each.at].known], []) : [
            for name in keys(each.value) : {
              path = SEGMENT(each.path, name), before = "unknown field ", shown = jsonencode(name), after = "; ${known}"
            } if !can(local.schema[each.at].properties[name])
          ] if startswith(each.json, "{")
        ],
        [
          for names in try([local.schema[each.at].propertyNames], []) : [
            for name in keys(each.value) : {
              path = SEGMENT(each.path, name), before = "", shown = jsonencode(name), after = " cannot be a name here${names.words}"
            } if !can(regex(names.expression, name)) || length(regexall("(?s).", name)) > names.most
          ] if startswith(each.json, "{")
        ],
      ]
    ])
  }

  # Values are quoted as in `moorage validate`: texts in single quotes, everything else as JSON, at most 60 characters.
  # \u0001 replaces an escaped backslash temporarily: JSON always escapes it, so it never occurs itself.
  sentences = {
    for key, mistakes in local.mistakes_found : key => distinct(flatten([
      for each in mistakes : [
        for json in [replace(replace(replace(replace(each.shown, "\\\\", "\u0001"), "\\u003c", "<"), "\\u003e", ">"), "\\u0026", "&")] : [
          for text in [startswith(json, "\"") ? "'${replace(replace(json, "/^\"|\"$/", ""), "\\\"", "\"")}'" : json] :
          "${each.path}: ${each.before}${text == "null" ? "nothing" : replace(replace(text, "\u0001", "\\\\"), "/(?s)^(.{57}).{4,}$/", "$1...")}${each.after}"
        ]
      ]
    ]))
  }
  mistakes = {
    for key, said in local.sentences : key => concat(
      slice(said, 0, min(length(said), 100)), length(said) > 100 ? ["there is more wrong than these 100 mistakes"] : [],
      try(local.contradictions[key], []),
    )
  }
}
