package command

import (
	"crypto/rand"
	"sync"

	"weir/config"
	"weir/openai"
)

// signing makes what signs ids.
type signing struct {
	once sync.Once
	own  string // the secret of a gateway that is given none
}

// signer returns what signs the ids that f's clients are given. Without a secret
// they end with the process.
func (s *signing) signer(f *config.File) (*openai.Signer, error) {
	var secrets []string
	for _, secret := range f.State.Secrets {
		secrets = append(secrets, secret.Reveal())
	}
	if len(secrets) == 0 {
		s.once.Do(func() { s.own = rand.Text() + rand.Text() })
		secrets = []string{s.own}
	}
	return openai.NewSigner(secrets...)
}
