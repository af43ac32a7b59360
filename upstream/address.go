package upstream

// URL returns where chat requests to the deployment go.
func (d *Deployment) URL() string { return d.url() }
