resource "helm_release" "this" {
  name             = var.release_name
  namespace        = var.namespace
  create_namespace = var.create_namespace
  repository       = var.repository
  chart            = local.chart
  version          = var.chart_version
  timeout          = var.timeout
  wait             = var.wait
  reset_values     = true # else Helm keeps the last settings when all are taken out
  values           = concat([yamlencode(local.values)], local.api_key_values, var.extra_values)

  lifecycle {
    # PRECONDITIONS
  }
}

locals {
  # Without a repository the chart that lies beside this module is installed: both are of one version then.
  chart = coalesce(var.chart, var.repository != null ? "CHART" : "${path.module}/../../../charts/CHART")

  # What is not given is left to the chart.
  values = { for key, value in local.given : key => value if value != null }
}

# A warning, in plan and apply.
check "notes" {
  assert {
    condition     = length(local.notes) == 0
    error_message = join("\n", local.notes)
  }
}
