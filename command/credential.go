package command

import (
	"cmp"
	"fmt"

	"weir/config"
	"weir/upstream"
)

// credential returns the credential of a backend, which all of its deployments
// share.
func (b *builder) credential(name string) (upstream.Credential, error) {
	if c, ok := b.credentials[name]; ok {
		return c, nil
	}
	c, err := b.newCredential(name, b.file.Backends[name].Auth)
	if err != nil {
		return nil, fmt.Errorf("command: backends.%s.auth: %w", name, err)
	}
	if b.credentials == nil {
		b.credentials = map[string]upstream.Credential{}
	}
	b.credentials[name] = c
	return c, nil
}

func (b *builder) newCredential(name string, a config.Auth) (upstream.Credential, error) {
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
			Transport: cmp.Or(b.authorities[name], b.parts.Transport), Metadata: b.parts.Transport,
		}
		if a.Entra.ClientSecret != "" {
			e.ClientSecret = a.Entra.ClientSecret.Reveal
		}
		return upstream.NewEntra(e), nil
	default:
		return upstream.NewAPIKey(a.APIKey.Reveal()), nil
	}
}
