package config

import (
	"cmp"
	"reflect"
)

// Where returns a function that tells where the value of a path, such as
// backends.azure.endpoint, was written in the file that Load reads: the file and
// the line, counted from 1, of the value or of the nearest thing above it. Line 0
// is that there is no such line. For the file "" it tells the environment
// variables of FromEnvironment.
func Where(file string, o Options) func(path string) (file string, line int) {
	if file == "" {
		return whereInEnvironment
	}
	r := newReader(file, o)
	if data, err := r.readFile(file); err == nil {
		if root, ok := r.parse(data); ok {
			r.decode(root, reflect.ValueOf(new(File)).Elem(), field{global: true})
		}
	}
	return func(path string) (string, int) {
		at := r.nearest(path)
		return cmp.Or(at.file, file), at.line
	}
}

func whereInEnvironment(path string) (variable string, line int) {
	for path != "" {
		switch path {
		case "backends.azure.endpoint", "backends.azure":
			return "AZURE_OPENAI_ENDPOINT", 0
		case "backends.azure.auth":
			return "AZURE_OPENAI_API_KEY", 0
		case "backends.azure.api_version":
			return "OPENAI_API_VERSION", 0
		}
		path = parent(path)
	}
	return "environment", 0
}
