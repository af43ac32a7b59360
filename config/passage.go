package config

// Files says where what clients upload is kept.
type Files struct {
	// Backends that keep files and batches, the preferred first: a team's go to the
	// first of them that is in its regions and serves a model that it may use.
	// Empty: all that have deployments, by their names.
	Backends []string `yaml:"backends"`
}

// Passage is a path that is handed on as it is, with all below it.
type Passage struct {
	// Path below the base URL, such as vector_stores or fine_tuning/jobs.
	Path string `yaml:"path" required:"true"`

	// Methods that are handed on: of GET, POST, PUT, PATCH and DELETE. Empty: all of
	// these.
	Methods []string `yaml:"methods"`

	// Backend is the name of the one that the requests go to.
	Backend string `yaml:"backend" required:"true"`

	// APIVersion is a dated one, such as 2024-05-01-preview, for Azure's classic
	// paths. v1: Azure's v1 paths. Kind openai has none.
	APIVersion string `yaml:"api_version" default:"v1"`

	// Teams that may call it. Empty: all. Nothing keeps apart what two of them have
	// there, and no policy looks at what they send.
	Teams []string `yaml:"teams"`
}
