package command

import (
	"cmp"
	"fmt"
	"net/http"
	"reflect"

	"weir/config"
	"weir/upstream"
)

// credential returns the credential of a backend, which all of its deployments
// share.
func (b *builder) credential(name string) (upstream.Credential, error) {
	if c, ok := b.credentials[name]; ok {
		return c.Credential, nil
	}
	fresh := credential{auth: b.file.Backends[name].Auth, via: cmp.Or(b.authorities[name], b.parts.Transport)}
	if old, ok := b.before.credentials[name]; ok && old.via == fresh.via && reflect.DeepEqual(old.auth, fresh.auth) {
		fresh = old
	} else {
		var err error
		if fresh.Credential, err = b.newCredential(name, fresh); err != nil {
			return nil, fmt.Errorf("command: backends.%s.auth: %w", name, err)
		}
	}
	if b.credentials == nil {
		b.credentials = map[string]credential{}
	}
	b.credentials[name] = fresh
	return fresh.Credential, nil
}

// credential is that of a backend, with what it was made of: the same again is the
// same credential, with its tokens.
type credential struct {
	upstream.Credential
	auth config.Auth
	via  http.RoundTripper // to where tokens come from
}

func (b *builder) newCredential(name string, c credential) (upstream.Credential, error) {
	a := c.auth
	log := b.parts.Log.With("backend", name)
	switch a.Kind() {
	case "api_keys":
		return upstream.NewKeyPair(a.APIKeys[0].Reveal(), a.APIKeys[1].Reveal(), log), nil
	case "api_key_file":
		return upstream.NewKeyFile(a.APIKeyFile, log)
	case "pass_through":
		return upstream.CallersToken{}, nil
	case "entra":
		e := upstream.EntraConfig{
			TenantID: a.Entra.TenantID, ClientID: a.Entra.ClientID, CertificateFile: a.Entra.ClientCertificateFile,
			TokenFile: a.Entra.FederatedTokenFile, ManagedIdentity: a.Entra.ManagedIdentity, CLI: a.Entra.CLI,
			Scope: a.Entra.Scope, Authority: a.Entra.Authority, Log: log,
			Transport: c.via, Metadata: b.parts.Transport,
		}
		if a.Entra.ClientSecret != "" {
			e.ClientSecret = a.Entra.ClientSecret.Reveal
		}
		return upstream.NewEntra(e), nil
	default:
		return upstream.NewAPIKey(a.APIKey.Reveal()), nil
	}
}
