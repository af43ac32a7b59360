package config_test

import (
	"errors"
	"testing"

	"weir/config"
)

// TestWhere finds the lines of values, and of what stands above a value that was
// not written.
func TestWhere(t *testing.T) {
	t.Parallel()
	const text = `version: 1
backends:
  east.us:
    endpoint: https://east.openai.azure.com
    auth: { api_key: "${KEY}" }
models:
  gpt-4o:
    deployments:
      - { backend: east.us, deployment: a }
      - backend: east.us
        deployment: b
`
	options := config.Options{
		ReadFile: func(name string) ([]byte, error) {
			if name != "weir.yaml" {
				return nil, errors.New("no such file")
			}
			return []byte(text), nil
		},
	}
	tests := []struct {
		name string
		file string
		path string
		want string
		line int
	}{
		{"a value", "weir.yaml", "backends.east.us.endpoint", "weir.yaml", 4},
		{"in a line of several", "weir.yaml", "backends.east.us.auth.api_key", "weir.yaml", 5},
		{"not written", "weir.yaml", "backends.east.us.api_version", "weir.yaml", 3},
		{"an item", "weir.yaml", "models.gpt-4o.deployments[0].deployment", "weir.yaml", 9},
		{"a later item", "weir.yaml", "models.gpt-4o.deployments[1].deployment", "weir.yaml", 11},
		{"below what is not written", "weir.yaml", "models.gpt-4o.base_model", "weir.yaml", 7},
		{"nothing of it is written", "weir.yaml", "teams.a", "weir.yaml", 0},
		{"no file", "other.yaml", "backends", "other.yaml", 0},
		{"the endpoint's variable", "", "backends.azure.endpoint", "AZURE_OPENAI_ENDPOINT", 0},
		{"the key's variable", "", "backends.azure.auth.api_key", "AZURE_OPENAI_API_KEY", 0},
		{"the version's variable", "", "backends.azure.api_version", "OPENAI_API_VERSION", 0},
		{"no variable", "", "teams.a", "environment", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file, line := config.Where(tt.file, options)(tt.path)
			if file != tt.want || line != tt.line {
				t.Errorf("Where(%q)(%q) = %s:%d, want %s:%d", tt.file, tt.path, file, line, tt.want, tt.line)
			}
		})
	}
}
