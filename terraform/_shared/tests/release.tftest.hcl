# What every module guarantees for its release.

mock_provider "helm" {}

run "nothing_given" {
  command = plan

  assert {
    condition     = helm_release.this.name == "CHART" && helm_release.this.namespace == "castai-agent"
    error_message = "the release is not the default one"
  }

  assert {
    condition     = helm_release.this.create_namespace && helm_release.this.wait && helm_release.this.timeout == 300
    error_message = "the options are not the default ones"
  }

  assert {
    condition     = helm_release.this.reset_values
    error_message = "Helm would keep removed settings"
  }

  assert {
    condition     = helm_release.this.repository == null
    error_message = "a repository is used"
  }

  assert {
    condition     = yamldecode(file("${helm_release.this.chart}/Chart.yaml")).name == "CHART"
    error_message = "the chart is not the one beside the module"
  }

  assert {
    condition     = jsonencode(helm_release.this.values) == jsonencode(["{}\n"])
    error_message = "a value is set that was not given"
  }

  assert {
    condition     = length(output.notes) == 0 && length(output.values) == 0
    error_message = "there is a note without a setting"
  }

  assert {
    condition     = output.release_name == "CHART" && output.namespace == "castai-agent"
    error_message = "the outputs are of another release"
  }
}

run "null_means_not_given" {
  command = plan

  variables {
    release_name     = null
    namespace        = null
    create_namespace = null
    timeout          = null
    wait             = null
    extra_values     = null
    replicas         = null
    log              = { level = null, format = "text" }
    resources        = { limits = null }
  }

  assert {
    condition     = helm_release.this.name == "CHART" && helm_release.this.namespace == "castai-agent"
    error_message = "the release is not the default one"
  }

  assert {
    condition     = helm_release.this.create_namespace && helm_release.this.wait && helm_release.this.timeout == 300
    error_message = "the options are not the default ones"
  }

  assert {
    condition     = length(helm_release.this.values) == 1
    error_message = "there is more than one document"
  }

  # null removes the chart's entry only in Kubernetes' own objects.
  assert {
    condition = (
      jsonencode(yamldecode(helm_release.this.values[0])) ==
      jsonencode({ log = { format = "text" }, resources = { limits = null } })
    )
    error_message = "nulls have become another value"
  }
}

run "another_release" {
  command = plan

  variables {
    release_name     = "mine"
    namespace        = "elsewhere"
    create_namespace = false
    repository       = "https://charts.example.com"
    chart_version    = "9.9.9"
    timeout          = 60
    wait             = false
  }

  assert {
    condition     = helm_release.this.name == "mine" && helm_release.this.namespace == "elsewhere"
    error_message = "the name differs"
  }

  assert {
    condition     = !helm_release.this.create_namespace && !helm_release.this.wait && helm_release.this.timeout == 60
    error_message = "the options differ"
  }

  assert {
    condition     = helm_release.this.repository == "https://charts.example.com"
    error_message = "the repository differs"
  }

  assert {
    condition     = helm_release.this.chart == "CHART" && helm_release.this.version == "9.9.9"
    error_message = "the chart differs"
  }

  assert {
    condition     = output.release_name == "mine" && output.namespace == "elsewhere"
    error_message = "the outputs are of another release"
  }
}

run "a_chart_of_ones_own" {
  command = plan

  variables {
    chart = "./mirrored/CHART.tgz"
  }

  assert {
    condition     = helm_release.this.chart == "./mirrored/CHART.tgz" && helm_release.this.repository == null
    error_message = "the chart differs"
  }
}

run "extra_values_come_last" {
  command = plan

  variables {
    replicas     = 3
    extra_values = ["replicas: 4", "replicas: 5"]
  }

  assert {
    condition     = jsonencode(helm_release.this.values) == jsonencode(["\"replicas\": 3\n", "replicas: 4", "replicas: 5"])
    error_message = "documents differ, or their order"
  }

  assert {
    condition     = jsonencode(output.values) == jsonencode({ replicas = 3 })
    error_message = "the output has other values"
  }
}

run "no_replicas" {
  command = plan

  variables {
    replicas = 0
  }

  expect_failures = [check.notes]

  assert {
    condition     = helm_release.this.values[0] == "\"replicas\": 0\n"
    error_message = "0 has become another value"
  }

  assert {
    condition     = startswith(output.notes[0], "replicas: 0 means that NOTHING RUNS")
    error_message = "the note is missing"
  }
}

run "a_version_without_a_repository" {
  command = plan

  variables {
    chart_version = "9.9.9"
  }

  expect_failures = [var.chart_version]
}

run "an_unknown_key" {
  command = plan

  variables {
    log = { levl = "debug" }
  }

  expect_failures = [helm_release.this]

  assert {
    condition     = startswith(local.mistakes["log"][0], "log.levl: unknown field 'levl'; ")
    error_message = "the note is missing"
  }
}

run "a_value_of_another_type_below" {
  command = plan

  variables {
    log = { level = 7 }
  }

  expect_failures = [helm_release.this]

  assert {
    condition     = startswith(local.mistakes["log"][0], "log.level: 7 is ")
    error_message = join("\n", local.mistakes["log"])
  }
}
