# The root module: it installs the given components, each by its module, with the given settings.

mock_provider "helm" {}

run "nothing_given" {
  command = plan

  assert {
    condition     = output.pod_pinner == null && output.planner == null && output.evictor == null
    error_message = "a component is installed"
  }
}

run "one_component" {
  command = plan

  variables {
    pod_pinner = {}
  }

  assert {
    condition     = output.pod_pinner.release_name == "castai-pod-pinner" && output.planner == null && output.evictor == null
    error_message = "not only the pod pinner is installed"
  }

  assert {
    condition     = length(output.pod_pinner.values) == 0 && length(output.pod_pinner.notes) == 0
    error_message = "a value is set that was not given"
  }
}

run "all_components" {
  command = plan

  variables {
    pod_pinner = {
      replicas          = 3
      managed_by_castai = false
      cloud_provider    = { profile = "aws" }
    }
    planner = {
      release_name  = "plans"
      namespace     = "elsewhere"
      repository    = "https://charts.example.com"
      chart_version = "9.9.9"
      plan          = { nodes = [{ name = "pinned-1", allocatable = { cpu = "4", memory = "15Gi", pods = 58 } }] }
      api_key       = { existingSecret = "key" }
    }
    evictor = {
      aggressive_mode = true
      custom_config   = [{ podSelector = { kind = "Job" }, settings = { removalDisabled = true } }]
      prices          = [{ instanceType = "m5.large", pricePerHour = 0.096 }]
    }
  }

  assert {
    condition = jsonencode(output.pod_pinner.values) == jsonencode(
      { replicas = 3, managedByCASTAI = false, provider = { profile = "aws" } }
    )
    error_message = "the values differ"
  }

  assert {
    condition     = output.planner.release_name == "plans" && output.planner.namespace == "elsewhere"
    error_message = "the release differs"
  }

  assert {
    condition     = output.planner.chart_version == "9.9.9"
    error_message = "the version differs"
  }

  assert {
    condition = jsonencode(output.planner.values) == jsonencode({
      plan   = { nodes = [{ name = "pinned-1", allocatable = { cpu = "4", memory = "15Gi", pods = 58 } }] }
      apiKey = { existingSecret = "key" }
    })
    error_message = "the values differ"
  }

  assert {
    condition = output.evictor.release_name == "castai-evictor" && jsonencode(output.evictor.values) == jsonencode({
      aggressiveMode = true
      customConfig   = [{ podSelector = { kind = "Job" }, settings = { removalDisabled = true } }]
      prices         = [{ instanceType = "m5.large", pricePerHour = 0.096 }]
    })
    error_message = "the values differ"
  }
}

run "null_is_not_given" {
  command = plan

  variables {
    pod_pinner = { replicas = null, namespace = null, log = null }
    planner    = null
  }

  assert {
    condition     = length(output.pod_pinner.values) == 0 && output.pod_pinner.namespace == "castai-agent"
    error_message = "a value is set that was not given"
  }

  assert {
    condition     = output.planner == null
    error_message = "a planner is installed that was not given"
  }
}

run "the_key_is_no_output" {
  command = plan

  variables {
    pod_pinner = { api_key = "tell-nobody" }
  }

  assert {
    condition     = length(output.pod_pinner.values) == 0
    error_message = "the output contains it"
  }
}

run "no_map" {
  command = plan

  variables {
    pod_pinner = "yes"
    planner    = [{}]
  }

  expect_failures = [var.pod_pinner, var.planner]
}

run "unknown_keys" {
  command = plan

  variables {
    pod_pinner = { replicaz = 3 }
    planner    = { replicas = 3, managed_by_castai = true } # that one is the pod pinner's
    evictor    = { max_target_nodes_per_cycle = 5 }         # that is the API's name of max_nodes_to_evict_per_cycle
  }

  expect_failures = [var.pod_pinner, var.planner, var.evictor]
}

run "the_charts_own_spelling_is_unknown" {
  command = plan

  variables {
    pod_pinner = { managedByCASTAI = true }
    planner    = { existingConfigMap = "plan" }
  }

  expect_failures = [var.pod_pinner, var.planner]
}

run "no_number" {
  command = plan

  variables {
    pod_pinner = { replicas = "many" }
    planner    = { timeout = "5m" }
  }

  expect_failures = [var.pod_pinner, var.planner]
}

run "neither_true_nor_false" {
  command = plan

  variables {
    pod_pinner = { dry_run = "maybe" }
    planner    = { wait = 7 }
    evictor    = { aggressive_mode = "maybe" }
  }

  expect_failures = [var.pod_pinner, var.planner, var.evictor]
}

run "no_text" {
  command = plan

  variables {
    pod_pinner = { api_key = { name = "planner-key" } }
    planner    = { namespace = ["castai-agent"] }
  }

  expect_failures = [var.pod_pinner, var.planner]
}

run "no_list" {
  command = plan

  variables {
    pod_pinner = { extra_values = "replicas: 3" }
    planner    = { extra_values = { replicas = 3 } }
  }

  expect_failures = [var.pod_pinner, var.planner]
}
