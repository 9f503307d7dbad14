# A planner with a plan, and a pod pinner that follows it, in one cluster.
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

module "moorage" {
  source = "../.."

  planner = {
    plan = {
      plan = "first-pods"
      nodes = [{
        name        = "pinned-1" # the name that its kubelet registers
        allocatable = { cpu = "4", memory = "15Gi", pods = 58 }
        labels      = { "kubernetes.io/os" = "linux", "kubernetes.io/arch" = "amd64", pool = "web" }
      }]
      fill = [{ namespace = "shop", owner = "Deployment/web" }]
    }
  }

  # By default it follows the planner above.
  pod_pinner = {}
}
