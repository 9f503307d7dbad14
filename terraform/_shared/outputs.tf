output "release_name" {
  description = "Name of the release."
  value       = helm_release.this.name
}

output "namespace" {
  description = "Namespace of the release."
  value       = helm_release.this.namespace
}

output "chart_version" {
  description = "Version of the chart that is installed."
  value       = helm_release.this.version
}

output "values" {
  description = "The values that the chart is given, without api_key and extra_values."
  value       = local.values
}

output "notes" {
  description = "What is no mistake and ought to be known, as `moorage validate` says it."
  value       = local.notes
}
