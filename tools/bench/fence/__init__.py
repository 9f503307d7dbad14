"""The cost of the chart's admission policies for others: a kubelet's status write and its Lease, with and without them.

A policy is evaluated for a request if its resource rules match, and checks the user first. No rule matches
`nodes/status`. Leases of kubelets match, and pass because of the user name. One client writes one Node's status as its
kubelet does (a strategic merge patch of conditions, of a Node with 50 images) and its Lease, one request after the
other. Each round measures both without the policies and then with them bound. In between, a forbidden request shows
whether the API server has read the change. The API server's own metric gives the time of updates in the admission
plugin. On a busy machine the time of a whole request says little, and its CPU says more.
"""
