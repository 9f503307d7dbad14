# A pod pinner whose planner runs elsewhere. Its key and CA are in Secrets of the namespace, so that Terraform's state
# has
# neither.
terraform {
  required_version = ">= 1.9"

  required_providers {
    helm = {
      source  = "hashicorp/helm"
      version = ">= 1.3.2, < 4.0.0"
    }
  }
}

# The cluster of KUBE_CONFIG_PATH (with provider 1.x: KUBE_CONFIG).
provider "helm" {}

variable "planner_address" {
  description = "The planner's address, as host:port."
  type        = string
  default     = "planner.example.com:9443"
}

module "moorage" {
  source = "../.."

  pod_pinner = {
    replicas           = 2
    api_key_secret_ref = { name = "planner-key", key = "API_KEY" }

    planner = {
      address     = var.planner_address
      caSecretRef = { name = "planner-ca" }
    }
  }
}
