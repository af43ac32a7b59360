package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// renewer is a credential that can come in another form where one was refused.
type renewer interface {
	// Renew is told the header that was refused, and reports whether Authorize
	// has another to give, or will ask for one.
	Renew(refused http.Header) bool
}

// APIKey is a resource's key. It prints as nothing, in whatever it is held: what
// is behind a pointer is not printed.
type APIKey struct{ key *string }

// NewAPIKey returns the credential that is a key.
func NewAPIKey(key string) APIKey { return APIKey{&key} }

// Authorize sets the api-key header.
func (k APIKey) Authorize(_ context.Context, h http.Header) error {
	if k.key == nil {
		return errors.New("upstream: there is no key")
	}
	h["Api-Key"] = []string{*k.key}
	return nil
}

// Format prints a word in the key's place, whatever the verb.
func (APIKey) Format(s fmt.State, _ rune) { hide(s) }

// LogValue returns a word in the key's place.
func (APIKey) LogValue() slog.Value { return slog.StringValue(secret) }

// keyIn returns the key that a header holds.
func keyIn(h http.Header) string {
	if key := h.Get("Api-Key"); key != "" {
		return key
	}
	return strings.TrimPrefix(h.Get("Authorization"), "Bearer ")
}

// KeyPair is a resource's two keys, either of which may be the one that is being
// replaced. It is safe for concurrent use, and prints as nothing.
type KeyPair struct {
	log *slog.Logger

	mu        sync.Mutex
	preferred APIKey
	other     APIKey
	second    bool // the preferred one is the second of those that were given
}

// NewKeyPair returns the credential that is the first key, and the second where
// the first is refused; from then on the second is preferred, until it is. A nil
// log logs nothing.
func NewKeyPair(first, second string, log *slog.Logger) *KeyPair {
	return &KeyPair{log: orDiscard(log), preferred: NewAPIKey(first), other: NewAPIKey(second)}
}

// Authorize sets the api-key header to the preferred key.
func (k *KeyPair) Authorize(ctx context.Context, h http.Header) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.preferred.Authorize(ctx, h)
}

// Renew prefers the other key, unless that has been done since.
func (k *KeyPair) Renew(refused http.Header) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if *k.preferred.key == keyIn(refused) {
		k.preferred, k.other, k.second = k.other, k.preferred, !k.second
		k.log.Warn("a key was refused: the other one is used from now on", "second", k.second)
	}
	return true
}

// Format prints a word in the keys' place, whatever the verb.
func (*KeyPair) Format(s fmt.State, _ rune) { hide(s) }

// LogValue returns a word in the keys' place.
func (*KeyPair) LogValue() slog.Value { return slog.StringValue(secret) }

// maxKeyFile is the largest file that is read as a key.
const maxKeyFile = 4 << 10

// KeyFile is a resource's key that stands in a file, which is looked at once a
// second at most and read again when it has changed. While the file cannot be
// read, or holds no key, the last one is used. It is safe for concurrent use, and
// prints as nothing.
type KeyFile struct {
	path string
	log  *slog.Logger

	mu     sync.Mutex
	key    APIKey
	stamp  stamp
	look   time.Time // when the file may be looked at again
	broken bool      // it has been said that the file is
}

// stamp tells one state of a file from another.
type stamp struct {
	changed time.Time
	size    int64
}

// NewKeyFile returns the credential that is the key in the file at path. It is an
// error where the file cannot be read now. A nil log logs nothing.
func NewKeyFile(path string, log *slog.Logger) (*KeyFile, error) {
	f := &KeyFile{path: path, log: orDiscard(log)}
	return f, f.read()
}

// Authorize sets the api-key header to what the file holds.
func (f *KeyFile) Authorize(ctx context.Context, h http.Header) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); !now.Before(f.look) {
		f.look = now.Add(time.Second)
		if info, err := os.Stat(f.path); err != nil || (stamp{info.ModTime(), info.Size()}) != f.stamp {
			f.again()
		}
	}
	return f.key.Authorize(ctx, h)
}

// Renew reads the file again, and reports whether it holds another key than the
// one that was refused.
func (f *KeyFile) Renew(refused http.Header) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.again()
	return *f.key.key != keyIn(refused)
}

// again reads the file, and says so where its state is another. The caller holds
// mu.
func (f *KeyFile) again() {
	before := f.key
	switch err := f.read(); {
	case err != nil && !f.broken:
		f.log.Error("the file of a key cannot be used: the last key is", "error", err)
		f.broken = true
	case err != nil:
	case *f.key.key != *before.key:
		f.log.Info("the file of a key holds another one", "file", f.path)
		f.broken = false
	default:
		f.broken = false
	}
}

// read takes the key from the file. The caller holds mu, or has f to itself.
func (f *KeyFile) read() error {
	file, err := os.Open(f.path)
	if err != nil {
		return fmt.Errorf("upstream: reading a key: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("upstream: reading a key: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err != nil {
		return fmt.Errorf("upstream: reading a key: %w", err)
	}
	key := strings.TrimSpace(string(text))
	if key == "" || len(text) > maxKeyFile || strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return errors.New("upstream: reading a key: " + f.path + " holds none")
	}
	f.key, f.stamp = NewAPIKey(key), stamp{info.ModTime(), info.Size()}
	return nil
}

// Format prints a word in the key's place, whatever the verb.
func (*KeyFile) Format(s fmt.State, _ rune) { hide(s) }

// LogValue returns a word in the key's place.
func (*KeyFile) LogValue() slog.Value { return slog.StringValue(secret) }

// CallersToken is the credential of whoever calls: the token that a call brings
// is passed on, and a refusal of it is the caller's own.
type CallersToken struct{}

// Authorize does nothing: the token is in the header already, or the call would
// not have come so far.
func (CallersToken) Authorize(_ context.Context, h http.Header) error {
	if h.Get("Authorization") == "" {
		return errors.New("upstream: the caller brought no token")
	}
	return nil
}

// passes reports whether the deployment wants the caller's own token.
func (d *Deployment) passes() bool {
	_, ok := d.Credential.(CallersToken)
	return ok
}

// secret stands for a key, or for a token.
const secret = "[secret]"

// hide writes a word in a secret's place.
func hide(w io.Writer) {
	_, _ = io.WriteString(w, secret) // a printer's own buffer
}

func orDiscard(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
