"""What an installation costs while there is nothing to do: CPU, memory, and requests to the API server.

Each size has a control plane of its own: nodes that kwok plays, pods that fill them, and Moorage's charts as Helm
installs them with their default values. kwok plays the charts' pods, too. Their containers run as processes of this
checkout, with the environment of the chart, the files that a kubelet would mount, and a token that belongs to the pod.
So they have the charts' rights, and the audit log shows which pod has sent a request.

What a kubelet does besides is part of the load: it renews Leases (kwok), reports each node's status every five minutes,
with a list of images, and probes the processes. Their metrics are scraped every 30 seconds.

The API server's CPU is measured twice: with the charts installed and no process of ours, and then with all of them. The
difference is small beside the spread of both, so it needs an otherwise idle machine and several minutes.

Differences from the defaults: the evictor does not wait until nodes are old (`nodeGracePeriodMinutes`, `quietPeriod`),
because those of a real cluster are. Nodes are so full that nothing can be moved.
"""
