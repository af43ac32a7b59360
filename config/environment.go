package config

import "reflect"

// FromEnvironment makes a configuration of environment variables alone:
// AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_API_KEY, OPENAI_API_VERSION (v1
// without it), and WEIR_KEY for the key that callers must present. Without a key
// of the resource it is Entra ID that the gateway signs in with. Any model
// is served by the deployment of the same name; PassThrough says by which
// backend. What the environment can set beside a file, such as WEIR_LISTEN, it
// can set here too.
func FromEnvironment(o Options) (*File, []Problem) {
	r := newReader("environment", o)
	f := new(File)
	r.decodeSettings(f)
	f.Version, f.PassThrough = 1, "azure"
	f.Models, f.Policies = map[string]Model{}, map[string]Policy{}

	b := Backend{Kind: "azure"}
	b.Endpoint = r.variable("AZURE_OPENAI_ENDPOINT", "backends.azure.endpoint")
	b.Auth.APIKey = Secret(r.variable("AZURE_OPENAI_API_KEY", "backends.azure.auth.api_key"))
	b.APIVersion = r.variable("OPENAI_API_VERSION", "backends.azure.api_version")
	if b.APIVersion == "" {
		b.APIVersion = "v1"
	}
	if b.Endpoint == "" {
		r.faultAt(place{file: "AZURE_OPENAI_ENDPOINT"}, Problem{
			Code: codeMissing, Path: "backends.azure.endpoint", Message: "not set, and there is no configuration file",
			Hint: "set it to https://NAME.openai.azure.com, name a file with -c, or run weir demo",
		})
	} else if b.Auth.APIKey == "" {
		b.Auth.Entra = r.entra("backends.azure.auth.entra", f.Server.Local())
	}
	f.Backends = map[string]Backend{"azure": b}

	if key := r.variable("WEIR_KEY", "teams.default.keys[0].value"); key != "" {
		r.places["teams.default.keys[0]"] = place{file: "WEIR_KEY", hidden: true, expanded: true}
		f.Teams = map[string]Team{"default": {Policy: "default", Keys: []Key{{ID: "WEIR_KEY", Value: Secret(key)}}}}
	}
	r.check(f)
	return r.result(f)
}

// entra returns how to sign in where there is no key: as the variables say that
// Azure's own libraries read, else as a managed identity. Az is asked last, and on
// a developer's machine alone: where the gateway serves that machine only, and no
// cluster runs it.
func (r *reader) entra(path string, local bool) Entra {
	var e Entra
	r.places[path] = place{file: "AZURE_OPENAI_API_KEY"}
	e.ClientSecret = Secret(r.variable("AZURE_CLIENT_SECRET", path+".client_secret"))
	if e.ClientSecret == "" {
		e.ClientCertificateFile = r.variable("AZURE_CLIENT_CERTIFICATE_PATH", path+".client_certificate_file")
	}
	federated, _ := r.getenv("AZURE_FEDERATED_TOKEN_FILE")
	cluster, _ := r.getenv("KUBERNETES_SERVICE_HOST")
	if len(e.ways()) == 0 && federated == "" && local && cluster == "" {
		e.ClientID = r.variable("AZURE_CLIENT_ID", path+".client_id")
		e.ManagedIdentity, e.CLI = true, true
	}
	return e
}

// decodeSettings fills the parts that have defaults, as the environment says.
func (r *reader) decodeSettings(f *File) {
	r.decode(nil, reflect.ValueOf(&f.Server).Elem(), field{path: "server", global: true})
	r.decode(nil, reflect.ValueOf(&f.Files).Elem(), field{path: "files"})
	r.decode(nil, reflect.ValueOf(&f.Resilience).Elem(), field{path: "resilience", global: true})
	r.decode(nil, reflect.ValueOf(&f.State).Elem(), field{path: "state", global: true})
	r.decode(nil, reflect.ValueOf(&f.Telemetry).Elem(), field{path: "telemetry", global: true})
	r.decode(nil, reflect.ValueOf(&f.Admin).Elem(), field{path: "admin", global: true})
}

// variable returns an environment variable, which stands for the value of
// path.
func (r *reader) variable(name, path string) string {
	value, _ := r.getenv(name)
	if value != "" {
		r.places[path] = place{file: name, expanded: true, raw: name, hidden: true}
	}
	return value
}
