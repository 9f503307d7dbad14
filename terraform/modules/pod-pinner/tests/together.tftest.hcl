# Keys of this chart that are valid one by one and contradict each other.

mock_provider "helm" {}

run "replicas_by_both_names" {
  command = plan

  variables {
    replicas      = 1
    replica_count = 2
  }

  expect_failures = [helm_release.this]

  assert {
    condition = contains(
      local.mistakes["replicaCount"], "replicaCount: is 2 and replicas is 1: they mean the same; keep one of them"
    )
    error_message = "the message is missing"
  }
}

run "the_same_replicas_by_both_names" {
  command = plan

  variables {
    replicas      = 2
    replica_count = 2
  }
}

run "two_addresses" {
  command = plan

  variables {
    planner = { address = "planner.castai-agent:9443" }
    castai  = { grpcURL = "other.castai-agent:9443" }
  }

  expect_failures = [helm_release.this]

  assert {
    condition = strcontains(
      local.mistakes["castai"][0], "is other.castai-agent:9443 and planner.address is planner.castai-agent:9443"
    )
    error_message = "the message is missing"
  }
}

run "the_closed_products_address_counts_as_unset" {
  command = plan

  variables {
    planner = { address = "planner.castai-agent:9443" }
    castai  = { grpcURL = "grpc.cast.ai:443" }
  }
}

run "the_key_of_the_closed_product_elsewhere" {
  command = plan

  variables {
    planner = { address = "planner.example.com:9443" }
    castai  = { apiKey = "closed" }
  }

  expect_failures = [helm_release.this]

  assert {
    condition     = strcontains(local.mistakes["castai"][0], "castai.apiKey: a key that was made for the closed product")
    error_message = "the message is missing"
  }

  assert {
    condition     = strcontains(local.mistakes["castai"][0], "is not shown to planner.example.com, ")
    error_message = "the host is not named"
  }
}

run "the_key_of_the_closed_product_by_the_variable_elsewhere" {
  command = plan

  variables {
    planner = { address = "planner.example.com:9443" }
    api_key = "closed"
  }

  expect_failures = [helm_release.this]

  assert {
    condition     = strcontains(local.mistakes["castai"][0], "castai.apiKey: a key that was made for the closed product")
    error_message = "the message is missing"
  }
}

run "the_secret_of_the_closed_product_elsewhere" {
  command = plan

  variables {
    planner = { address = "planner.example.com:9443" }
    castai  = { apiKeySecretRef = "castai-pod-pinner" }
  }

  expect_failures = [helm_release.this]

  assert {
    condition     = startswith(local.mistakes["castai"][0], "castai.apiKeySecretRef: a key that was made for the closed")
    error_message = "the message is missing"
  }
}

run "the_secret_of_the_umbrella_elsewhere" {
  command = plan

  variables {
    planner = { address = "planner.example.com:9443" }
    global  = { castai = { apiKeySecretRef = "castai-credentials" } }
  }

  expect_failures = [helm_release.this]

  assert {
    condition     = startswith(local.mistakes["global"][0], "global.castai.apiKeySecretRef: a key that was made for the")
    error_message = "the message is missing"
  }
}

run "a_secret_that_the_closed_product_made_elsewhere" {
  command = plan

  variables {
    planner            = { address = "planner.example.com:9443" }
    api_key_secret_ref = { name = "castai-pod-pinner" }
  }

  expect_failures = [helm_release.this]

  assert {
    condition     = startswith(local.mistakes["planner"][0], "planner.apiKeySecretRef.name: a key that was made for the")
    error_message = "the message is missing"
  }
}

run "the_key_of_the_closed_product_in_the_namespace" {
  command = plan

  variables {
    planner = { address = "planner.castai-agent:9443" }
    castai  = { apiKey = "closed" }
  }
}

run "the_key_of_the_closed_product_elsewhere_when_that_is_meant" {
  command = plan

  variables {
    planner = { address = "planner.example.com:9443", allowClosedKey = true }
    castai  = { apiKey = "closed" }
  }
}
