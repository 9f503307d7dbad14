"""What the chart's admission policies cost others: a kubelet's status write and its Lease, with and without them.

A policy is asked about a request when its resource rules match, and asks first who it is. No rule matches
`nodes/status`; Leases of kubelets are matched, and let pass by their user name. One client writes one Node's status as
its kubelet does (a strategic merge patch of conditions, of a Node with 50 images) and its Lease, one request after the
other. Each round measures both without the policies and then with them bound; in between, a forbidden request tells
whether the API server has taken notice. How long updates take in the admission plugin itself is the API server's own
figure. The time of a whole request says little on a busy machine, its CPU says more.
"""
