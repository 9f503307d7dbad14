# Settings with which the evictor acts, and settings that plan refuses.

mock_provider "helm" {}

run "evicting" {
  command = plan

  variables {
    dry_run         = false
    aggressive_mode = true
    parallel_drains = 1
  }

  assert {
    condition     = yamldecode(helm_release.this.values[0]) == { dryRun = false, aggressiveMode = true, parallelDrains = 1 }
    error_message = "the values differ"
  }

  assert {
    condition     = length(output.notes) == 0
    error_message = "there is a note"
  }
}

run "several_without_a_leader" {
  command = plan

  variables {
    replica_count   = 3
    leader_election = { enabled = false }
  }

  expect_failures = [helm_release.this]

  assert {
    condition     = startswith(local.mistakes["leaderElection"][0], "leaderElection.enabled: is false and there are 3 replicas: ")
    error_message = "the message is missing"
  }
}

run "one_without_a_leader" {
  command = plan

  variables {
    dry_run         = true
    leader_election = { enabled = false }
  }

  assert {
    condition     = length(output.notes) == 0
    error_message = "there is a note"
  }
}
