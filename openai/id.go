package openai

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// MinSecret is the length of the shortest secret that signs ids, in bytes.
const MinSecret = 16

// maxOwner is how much of a deployment's name an id carries, in bytes: at least its
// backend, of 64. An id of Azure's own and the longest name make one of less than 200
// characters.
const maxOwner = 100

// maxID is the longest id that is looked at.
const maxID = 4 << 10

// idVersion begins what follows an id's prefix.
const idVersion = '1'

// tagSize is how much of the authentication code an id carries: 128 bits.
const tagSize = 16

// The bits of an id's first byte.
const (
	hasPrefix = 1 << iota // the upstream id has the same prefix
	isHex                 // the rest of it is hexadecimal, and is packed
)

// Signer makes and opens the ids under which clients know what upstream keeps for
// them: each holds the upstream id and the deployment that made it, encrypted, and
// is good for one team alone. It keeps nothing: any signer of the same secret opens
// what another has made, and makes the same id of the same parts. It is safe for
// concurrent use.
//
// An id is SIV encryption (RFC 5297) composed of HMAC-SHA-256 and AES-256 in
// counter mode: the code is the counter's beginning, so that no nonce is needed,
// and equal ids tell no more than that their parts are equal.
type Signer struct {
	keys []idKey // the first signs
}

// idKey is what is derived from one secret.
type idKey struct {
	mac   []byte
	block cipher.Block
}

// NewSigner returns a Signer. The first secret signs; the second, if there is one,
// is a former or a coming one whose ids are opened as well. A secret of less than
// MinSecret bytes is an error.
func NewSigner(secrets ...string) (*Signer, error) {
	if len(secrets) < 1 || len(secrets) > 2 {
		return nil, fmt.Errorf("openai: making a signer: there are %d secrets, want one or two", len(secrets))
	}
	s := &Signer{}
	for i, secret := range secrets {
		if len(secret) < MinSecret {
			return nil, fmt.Errorf("openai: making a signer: secret %d has %d bytes, want at least %d", i+1, len(secret), MinSecret)
		}
		key, err := newIDKey(secret)
		if err != nil {
			return nil, fmt.Errorf("openai: making a signer: %w", err)
		}
		s.keys = append(s.keys, key)
	}
	return s, nil
}

func newIDKey(secret string) (idKey, error) {
	const size = 32 // of each key
	both, err := hkdf.Key(sha256.New, []byte(secret), nil, "weir: ids, version 1", 2*size)
	if err != nil {
		return idKey{}, err
	}
	block, err := aes.NewCipher(both[size:])
	return idKey{mac: both[:size], block: block}, err
}

// Owner returns what an id says of a deployment: its name, or, where that is too
// long to be carried, its beginning and a digest.
func Owner(deployment string) string {
	if len(deployment) <= maxOwner {
		return deployment
	}
	sum := sha256.Sum256([]byte(deployment))
	digest := "~" + hex.EncodeToString(sum[:tagSize])
	return deployment[:maxOwner-len(digest)] + digest
}

// Sign returns the id under which a team knows what a deployment calls upstream.
// Kind is the prefix that ids of that kind have: letters or digits, and a dash or
// an underline, as in resp_. The id has it too, and none but letters, digits,
// dashes and underlines. It grows with the upstream id, of which no more than some
// 2,900 bytes can be opened again.
func (s *Signer) Sign(kind, team, deployment, upstream string) string {
	sealed := s.keys[0].seal(kind, team, pack(kind, Owner(deployment), upstream))
	return kind + string(idVersion) + base64.RawURLEncoding.EncodeToString(sealed)
}

// Open returns what an id that Sign made for that team holds: the deployment, as
// Owner writes it, and the upstream id. Any other id is not ok: one that is forged
// or changed, another team's, another kind's, or upstream's own.
func (s *Signer) Open(team, id string) (owner, upstream string, ok bool) {
	at := strings.IndexAny(id, "-_") + 1
	if at == 0 || len(id) > maxID || at >= len(id) || id[at] != idVersion {
		return "", "", false
	}
	kind, text := id[:at], id[at+1:]
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(sealed) < tagSize || base64.RawURLEncoding.EncodeToString(sealed) != text {
		return "", "", false
	}
	for _, key := range s.keys {
		if packed, mine := key.open(kind, team, sealed); mine {
			owner, upstream = unpack(kind, packed)
			ok = true
		}
	}
	return owner, upstream, ok
}

// seal encrypts and signs.
func (k idKey) seal(kind, team string, packed []byte) []byte {
	sealed := append(k.tag(kind, team, packed), packed...)
	cipher.NewCTR(k.block, sealed[:tagSize]).XORKeyStream(sealed[tagSize:], packed)
	return sealed
}

// open decrypts, and reports whether it was this key that sealed.
func (k idKey) open(kind, team string, sealed []byte) ([]byte, bool) {
	packed := make([]byte, len(sealed)-tagSize)
	cipher.NewCTR(k.block, sealed[:tagSize]).XORKeyStream(packed, sealed[tagSize:])
	return packed, subtle.ConstantTimeCompare(sealed[:tagSize], k.tag(kind, team, packed)) == 1
}

// tag returns the authentication code of an id's parts.
func (k idKey) tag(kind, team string, packed []byte) []byte {
	b := make([]byte, 0, 1+2*binary.MaxVarintLen64+len(kind)+len(team)+len(packed))
	b = append(b, idVersion)
	b = append(binary.AppendUvarint(b, uint64(len(kind))), kind...)
	b = append(binary.AppendUvarint(b, uint64(len(team))), team...)
	mac := hmac.New(sha256.New, k.mac)
	_, _ = mac.Write(append(b, packed...)) // a hash takes everything
	return mac.Sum(nil)[:tagSize:tagSize]
}

// pack writes an owner of at most maxOwner bytes and an upstream id.
func pack(kind, owner, upstream string) []byte {
	var flags byte
	rest, cut := strings.CutPrefix(upstream, kind)
	if cut {
		flags |= hasPrefix
	}
	tail := []byte(rest)
	if packed, err := hex.DecodeString(rest); err == nil && hex.EncodeToString(packed) == rest {
		flags |= isHex
		tail = packed
	}
	b := append([]byte{flags, byte(len(owner))}, owner...) //nolint:gosec // it is at most maxOwner
	return append(b, tail...)
}

// unpack reads what pack wrote.
func unpack(kind string, b []byte) (owner, upstream string) {
	owner, tail := string(b[2:2+int(b[1])]), b[2+int(b[1]):]
	if b[0]&hasPrefix != 0 {
		upstream = kind
	}
	if b[0]&isHex != 0 {
		return owner, upstream + hex.EncodeToString(tail)
	}
	return owner, upstream + string(tail)
}

// Marks returns what things are marked with that upstream keeps for a team, where
// their ids are not enough to find them: letters and digits that nobody can make for
// another team. The first is to be written, and any is good.
func (s *Signer) Marks(team string) []string {
	const size = 10
	marks := make([]string, 0, len(s.keys))
	for _, key := range s.keys {
		mac := hmac.New(sha256.New, key.mac)
		_, _ = mac.Write([]byte("mark\x00" + team)) // no id's parts begin so
		marks = append(marks, hex.EncodeToString(mac.Sum(nil)[:size]))
	}
	return marks
}
