package config

import (
	"net/url"
	"slices"
	"strings"
)

// Kind returns which of the credentials it is, by its key in the file: api_key,
// api_keys, api_key_file, entra or pass_through.
func (a Auth) Kind() string {
	switch {
	case len(a.APIKeys) > 0:
		return "api_keys"
	case a.APIKeyFile != "":
		return "api_key_file"
	case a.PassThrough:
		return "pass_through"
	case a.Entra != (Entra{}):
		return "entra"
	default:
		return "api_key"
	}
}

// checkAuth checks and completes a credential.
func (r *reader) checkAuth(path string, a *Auth) {
	var forms []string
	for _, form := range []string{"api_key", "api_keys", "api_key_file", "entra", "pass_through"} {
		if _, written := r.places[path+"."+form]; written && (form != "pass_through" || a.PassThrough) {
			forms = append(forms, form)
		}
	}
	_, written := r.places[path]
	switch {
	case len(forms) == 0 && written && !r.faulty(path):
		r.fault(path, codeMissing, path+" has no credential", `write api_key: "${AZURE_OPENAI_API_KEY}", or entra: {}`)
	case len(forms) > 1:
		r.fault(path+"."+forms[1], codeContradict, "auth has both "+forms[0]+" and "+forms[1], "keep one of them")
	case len(forms) == 1:
		r.checkForm(path, forms[0], a)
	}
}

// checkForm checks the one form that a credential has.
func (r *reader) checkForm(path, form string, a *Auth) {
	at := path + "." + form
	switch form {
	case "api_key":
		r.checkSecret(at, a.APIKey)
	case "api_keys":
		for i, key := range a.APIKeys {
			r.checkSecret(item(at, i), key)
		}
		if len(a.APIKeys) != 2 && !r.faulty(at) {
			r.fault(at, codeRange, "api_keys must be two keys", "for one, write api_key")
		}
	case "api_key_file":
		r.checkFile(at, a.APIKeyFile, true)
	case "entra":
		r.checkEntra(at, &a.Entra)
	}
}

// faulty reports whether something is wrong already with the value of path, or
// below it.
func (r *reader) faulty(path string) bool {
	return slices.ContainsFunc(r.problems, func(p Problem) bool { return strings.HasPrefix(p.Path, path) })
}

// checkSecret checks a key or a secret, which goes into a header or a form.
func (r *reader) checkSecret(path string, s Secret) {
	text := s.Reveal()
	switch {
	case r.faulty(path):
		return
	case text == "":
		r.fault(path, codeMissing, last(path)+" is empty", r.emptyHint(path))
		return
	case !isToken(text):
		r.fault(path, codeMalformed, last(path)+" holds spaces or characters that no key has", "look for a line end or quotes inside it")
	}
	if at := r.places[path]; !at.expanded {
		r.fault(path, codeLiteral, "a secret is written in the file",
			`put it into the environment and write "${AZURE_OPENAI_API_KEY}", or into a file and write "${file:/path}"`)
	}
}

// checkFile checks that a file that is read while the gateway runs can be read
// now, and holds a key where it is one of keys.
func (r *reader) checkFile(path, name string, key bool) {
	switch data, err := r.readFile(name); {
	case r.faulty(path):
	case name == "":
		r.fault(path, codeMissing, last(path)+" is empty", r.emptyHint(path))
	case !strings.HasPrefix(name, "/"):
		r.fault(path, codeMalformed, last(path)+" needs an absolute path", "write /path")
	case err != nil:
		r.fault(path, codeExpansion, "the file "+r.said(path, name)+" cannot be read: "+reason(err), "")
	case key && (len(data) > 4<<10 || !isToken(strings.TrimSpace(string(data)))):
		r.fault(path, codeMalformed, "the file "+r.said(path, name)+" holds no key", "write the key into it, and nothing else")
	}
}

// checkEntra checks and completes how to sign in with Entra ID.
func (r *reader) checkEntra(path string, e *Entra) {
	if r.faulty(path) {
		return
	}
	ways := e.ways()
	if len(ways) > 1 {
		r.fault(path+"."+ways[1], codeContradict, "entra has both "+ways[0]+" and "+ways[1], "keep one of them")
		return
	}
	if _, written := r.places[path+".tenant_id"]; written && e.ManagedIdentity && !e.CLI {
		r.fault(path+".tenant_id", codeNever, "tenant_id can never apply: a managed identity has its own", "remove it")
	}
	r.checkWay(path, e)
	r.completeEntra(path, e)
	r.checkIDs(path, e)
	r.checkCloud(path, e)
}

// checkIDs checks who signs in.
func (r *reader) checkIDs(path string, e *Entra) {
	needed := e.ClientSecret != "" || e.ClientCertificateFile != "" || e.FederatedTokenFile != ""
	for _, id := range []struct{ name, value string }{{"tenant_id", e.TenantID}, {"client_id", e.ClientID}} {
		at := path + "." + id.name
		switch {
		case id.value == "" && needed:
			r.fault(at, codeMissing, path+" has no "+id.name, "add "+id.name+", or set AZURE_"+strings.ToUpper(id.name))
		case !isPlainName(id.value) && id.value != "":
			r.fault(at, codeMalformed, id.name+" is not an id", "write it as Entra ID shows it: 11111111-2222-3333-4444-555555555555")
		}
	}
}

// checkCloud checks where tokens come from, and what for.
func (r *reader) checkCloud(path string, e *Entra) {
	if u, err := url.Parse(e.Authority); err != nil || u.Scheme != "https" || endpointOnly(u) != "" {
		r.fault(path+".authority", codeMalformed, "authority must be https://HOST", "write https://login.microsoftonline.com, or another cloud's")
	}
	if !strings.HasSuffix(e.Scope, "/.default") || !isToken(e.Scope) {
		r.fault(path+".scope", codeMalformed, "scope must end in /.default", "write https://cognitiveservices.azure.com/.default")
	}
}

// endpointOnly says what a URL has beside its host.
func endpointOnly(u *url.URL) string {
	message, _ := urlFault(u)
	if message == "" {
		message = hostFault(u.Hostname())
	}
	if message == "" && strings.Trim(u.Path, "/") != "" {
		message = "a path"
	}
	return message
}

// ways returns the ways to sign in that were written. A managed identity and az
// are one: the second is for where there is none of the first.
func (e *Entra) ways() []string {
	var ways []string
	for _, w := range []struct {
		name    string
		written bool
	}{
		{"client_secret", e.ClientSecret != ""},
		{"client_certificate_file", e.ClientCertificateFile != ""},
		{"federated_token_file", e.FederatedTokenFile != ""},
		{"managed_identity", e.ManagedIdentity},
		{"cli", e.CLI && !e.ManagedIdentity},
	} {
		if w.written {
			ways = append(ways, w.name)
		}
	}
	return ways
}

// checkWay checks what the way to sign in needs.
func (r *reader) checkWay(path string, e *Entra) {
	written := func(name string) bool { _, ok := r.places[path+"."+name]; return ok }
	if written("client_secret") {
		r.checkSecret(path+".client_secret", e.ClientSecret)
	}
	if written("client_certificate_file") {
		r.checkFile(path+".client_certificate_file", e.ClientCertificateFile, false)
	}
	if written("federated_token_file") {
		r.checkFile(path+".federated_token_file", e.FederatedTokenFile, false)
	}
}

// completeEntra fills in what the environment and the cloud say.
func (r *reader) completeEntra(path string, e *Entra) {
	fill := func(value *string, name, key string) {
		if *value == "" {
			*value = r.variable(name, path+"."+key)
		}
	}
	asked := len(e.ways()) > 0
	if !asked {
		fill(&e.FederatedTokenFile, "AZURE_FEDERATED_TOKEN_FILE", "federated_token_file")
		e.ManagedIdentity = e.FederatedTokenFile == ""
	}
	if !asked || !e.ManagedIdentity && !e.CLI {
		fill(&e.ClientID, "AZURE_CLIENT_ID", "client_id")
	}
	if !e.ManagedIdentity && !e.CLI {
		fill(&e.TenantID, "AZURE_TENANT_ID", "tenant_id")
	}
	e.CLI = e.CLI && (!e.ManagedIdentity || !r.managed())
	fill(&e.Authority, "AZURE_AUTHORITY_HOST", "authority")
	if e.Authority = strings.TrimRight(e.Authority, "/"); e.Authority == "" {
		e.Authority = "https://login.microsoftonline.com"
	}
	if e.Scope == "" {
		e.Scope = "https://cognitiveservices.azure." + cloudOf(e.Authority) + "/.default"
	}
}

// managed reports whether the environment names a managed identity's endpoint.
func (r *reader) managed() bool {
	return slices.ContainsFunc([]string{"IDENTITY_ENDPOINT", "MSI_ENDPOINT"}, func(name string) bool {
		v, _ := r.getenv(name)
		return v != ""
	})
}

// cloudOf returns the last part of the names of the cloud that an authority
// belongs to.
func cloudOf(authority string) string {
	switch strings.TrimPrefix(strings.ToLower(authority), "https://") {
	case "login.microsoftonline.us":
		return "us"
	case "login.chinacloudapi.cn", "login.partner.microsoftonline.cn":
		return "cn"
	default:
		return "com"
	}
}
