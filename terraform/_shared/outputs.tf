output "release_name" {
  description = "Name of the release."
  value       = helm_release.this.name
}

output "namespace" {
  description = "Namespace of the release."
  value       = helm_release.this.namespace
}

output "chart_version" {
  description = "Version of the installed chart."
  value       = helm_release.this.version
}

output "values" {
  description = "The values that the chart gets, without api_key and extra_values."
  value       = local.values
}

output "notes" {
  description = "Notes of `moorage validate`: settings that are valid and have a surprising effect, or none."
  value       = local.notes
}
