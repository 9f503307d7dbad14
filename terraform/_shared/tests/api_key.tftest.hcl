# The key that the pod pinner sends to a planner: the documents that contain it, and those that do not.

mock_provider "helm" {}

run "a_key_is_in_a_document_of_its_own" {
  command = plan

  variables {
    replicas     = 3
    api_key      = "tell-nobody"
    extra_values = ["replicas: 4"]
  }

  assert {
    condition = jsonencode(nonsensitive(helm_release.this.values)) == jsonencode(
      ["\"replicas\": 3\n", "\"castai\":\n  \"apiKey\": \"tell-nobody\"\n", "replicas: 4"]
    )
    error_message = "documents differ, or their order"
  }

  assert {
    condition     = issensitive(helm_release.this.values[1])
    error_message = "a plan would show the key"
  }

  assert {
    condition     = !issensitive(helm_release.this.values[0]) && !issensitive(helm_release.this.values[2])
    error_message = "a plan would hide values that are not secret"
  }

  assert {
    condition     = !issensitive(output.values) && jsonencode(output.values) == jsonencode({ replicas = 3 })
    error_message = "the output is a secret, or contains one"
  }
}

run "an_empty_key_is_not_given" {
  command = plan

  variables {
    api_key = ""
  }

  assert {
    condition     = jsonencode(nonsensitive(helm_release.this.values)) == jsonencode(["{}\n"])
    error_message = "a value is set that was not given"
  }
}

run "a_secret_of_the_cluster" {
  command = plan

  variables {
    api_key_secret_ref = { name = "planner-key", key = "APIKEY" }
  }

  assert {
    condition = jsonencode(yamldecode(helm_release.this.values[0])) == jsonencode(
      { planner = { apiKeySecretRef = { name = "planner-key", key = "APIKEY" } } }
    )
    error_message = "a different Secret"
  }
}

run "a_secret_of_the_cluster_beside_other_settings_of_the_planner" {
  command = plan

  variables {
    planner            = { address = "planner.example.com:9443" }
    api_key_secret_ref = { name = "planner-key" }
  }

  assert {
    condition = jsonencode(yamldecode(helm_release.this.values[0])) == jsonencode(
      { planner = { address = "planner.example.com:9443", apiKeySecretRef = { name = "planner-key" } } }
    )
    error_message = "a value is missing"
  }
}

run "a_key_twice" {
  command = plan

  variables {
    api_key = "tell-nobody"
    castai  = { apiKey = "tell-nobody" }
  }

  expect_failures = [var.api_key]
}

run "a_key_that_cannot_be" {
  command = plan

  variables {
    api_key = "tell nobody"
  }

  expect_failures = [var.api_key]
}

run "a_key_that_is_too_long" {
  command = plan

  variables {
    api_key = format("%05000d", 1)
  }

  expect_failures = [var.api_key]
}

run "a_secret_of_the_cluster_twice" {
  command = plan

  variables {
    planner            = { apiKeySecretRef = { name = "planner-key" } }
    api_key_secret_ref = { name = "planner-key" }
  }

  expect_failures = [var.api_key_secret_ref]
}

run "a_key_and_a_secret_of_the_cluster" {
  command = plan

  variables {
    api_key            = "tell-nobody"
    api_key_secret_ref = { name = "planner-key" }
  }

  expect_failures = [helm_release.this]

  assert {
    condition = contains(
      local.mistakes["planner"], "planner.apiKeySecretRef.name: contradicts castai.apiKey: keep one of them"
    )
    error_message = "the message is missing"
  }
}

run "a_key_and_a_secret_of_the_cluster_by_its_published_name" {
  command = plan

  variables {
    api_key = "tell-nobody"
    castai  = { apiKeySecretRef = "planner-key" }
  }

  expect_failures = [helm_release.this]

  assert {
    condition     = contains(local.mistakes["castai"], "castai.apiKeySecretRef: contradicts castai.apiKey: keep one of them")
    error_message = "the message is missing"
  }
}
