resource "helm_release" "this" {
  name             = var.release_name
  namespace        = var.namespace
  create_namespace = var.create_namespace
  repository       = var.repository
  chart            = local.chart
  version          = var.chart_version
  timeout          = var.timeout
  wait             = var.wait
  reset_values     = true # else Helm keeps the last settings if all are removed
  values           = concat([yamlencode(local.values)], local.api_key_values, var.extra_values)

  lifecycle {
    # PRECONDITIONS
  }
}

locals {
  # Without a repository the chart beside this module is installed: then both have one version.
  chart = coalesce(var.chart, var.repository != null ? "CHART" : "${path.module}/../../../charts/CHART")

  # Keys that are not given keep the chart's defaults.
  values = { for key, value in local.given : key => value if value != null }
}

# Shows a warning in plan and apply.
check "notes" {
  assert {
    condition     = length(local.notes) == 0
    error_message = join("\n", local.notes)
  }
}
