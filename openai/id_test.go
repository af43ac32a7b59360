package openai_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/openai"
)

const (
	secretA = "a secret of the first replica and all others"
	secretB = "another one, sixteen bytes and more"
)

func newSigner(t testing.TB, secrets ...string) *openai.Signer {
	t.Helper()
	s, err := openai.NewSigner(secrets...)
	if err != nil {
		t.Fatalf("NewSigner: %v", err)
	}
	return s
}

func TestNewSignerRefuses(t *testing.T) {
	t.Parallel()
	for _, secrets := range [][]string{
		nil, {""}, {"fifteen bytes.."}, {secretA, ""}, {"", secretA}, {secretA, "short"}, {secretA, secretB, secretA},
	} {
		if s, err := openai.NewSigner(secrets...); err == nil || s != nil {
			t.Errorf("NewSigner(%q) = %v, %v", secrets, s, err)
		} else if strings.Contains(err.Error(), "short") || strings.Contains(err.Error(), secretA) {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
	newSigner(t, strings.Repeat("x", openai.MinSecret))
}

// opened is what a signer makes of an id.
type opened struct {
	Owner, Upstream string
	OK              bool
}

func open(s *openai.Signer, team, id string) opened {
	owner, upstream, ok := s.Open(team, id)
	return opened{owner, upstream, ok}
}

// TestIDs opens what was signed, and makes it look as the API's own ids do.
func TestIDs(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("sweden-central/", 10)
	hex := strings.Repeat("0123456789abcdef", 3)
	for _, tt := range []struct {
		name, kind, deployment, upstream string
		most                             int // characters
	}{
		{"a response", "resp_", "azure-eu/gpt-4o", "resp_" + hex, 100},
		{"a response of a long name", "resp_", strings.Repeat("x", 96), "resp_" + hex, 200},
		{"a response of too long a name", "resp_", long, "resp_" + hex, 200},
		{"a file", "file-", "azure-eu/gpt-4o", "file-abc123ABC", 80},
		{"a file that is named otherwise", "file-", "a/b", "assistant-" + hex, 120},
		{"a batch", "batch_", "a/b", "batch_0b5ae43c-5e4e-4b10-8d3f-b6e0d4bd1c26", 100},
		{"a stored completion", "chatcmpl-", "a/b", "chatcmpl-9nZ4vEmZ4zyWGdRsVzJQ1Vyl2mWXo", 100},
		{"hexadecimal in capitals", "resp_", "a/b", "resp_ABCDEF", 60},
		{"hexadecimal of an odd length", "resp_", "a/b", "resp_abc", 60},
		{"nothing", "resp_", "", "", 40},
		{"the prefix alone", "resp_", "a", "resp_", 40},
		{"any bytes", "resp_", "\x00\xff/é", "\x00\xff\n/é resp_", 60},
		{"an id of our own", "resp_", "a/b", "resp_1" + strings.Repeat("Ab_-", 40), 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSigner(t, secretA)
			id := s.Sign(tt.kind, "team", tt.deployment, tt.upstream)
			if !regexp.MustCompile(`^` + tt.kind + `[A-Za-z0-9_-]+$`).MatchString(id) {
				t.Errorf("Sign = %q, which does not look like one", id)
			}
			if len(id) > tt.most {
				t.Errorf("Sign = %q, %d characters, want at most %d", id, len(id), tt.most)
			}
			want := opened{openai.Owner(tt.deployment), tt.upstream, true}
			if diff := cmp.Diff(want, open(s, "team", id)); diff != "" {
				t.Errorf("Open(%s) (-want +got):\n%s", id, diff)
			}
			if again := newSigner(t, secretA).Sign(tt.kind, "team", tt.deployment, tt.upstream); again != id {
				t.Errorf("another signer makes %s of it, and not %s", again, id)
			}
			for _, team := range []string{"", "Team", "team2", "tea"} {
				if got := open(s, team, id); got.OK {
					t.Errorf("team %q opens team's id: %+v", team, got)
				}
			}
		})
	}
}

func TestOwner(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 64) + "/" + strings.Repeat("x", 36) // a backend's name has 64 at most
	for _, name := range []string{"", "a/b", long[:100]} {
		if got := openai.Owner(name); got != name {
			t.Errorf("Owner(%q) = %q", name, got)
		}
	}
	a, b := openai.Owner(long+"a"), openai.Owner(long+"b")
	if len(a) != 100 || len(b) != 100 || a == b || !strings.HasPrefix(a, long[:65]) {
		t.Errorf("Owner of long names: %q and %q", a, b)
	}
}

// TestIDsHideTheirParts has no name of a deployment, nor upstream's id, in an id.
func TestIDsHideTheirParts(t *testing.T) {
	t.Parallel()
	s := newSigner(t, secretA)
	id := s.Sign("resp_", "team", "a-name-to-hide", "resp_zzzzzzzzzzzz")
	raw, err := base64.RawURLEncoding.DecodeString(id[len("resp_1"):])
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"name", "zzz", "team"} {
		if strings.Contains(id, secret) || strings.Contains(string(raw), secret) {
			t.Errorf("%s is in %s", secret, id)
		}
	}
}

// TestIDsOfEqualPartsDiffer in any part, so that no part of one can be another's.
func TestIDsOfEqualPartsDiffer(t *testing.T) {
	t.Parallel()
	s := newSigner(t, secretA)
	seen := map[string]string{}
	for _, p := range [][4]string{
		{"resp_", "t", "a", "b"},
		{"file-", "t", "a", "b"},
		{"resp_", "u", "a", "b"},
		{"resp_", "t", "ab", ""},
		{"resp_", "t", "", "ab"},
		{"resp_", "t", "a", "resp_b"},
		{"resp_", "ta", "", "b"},
		{"resp_", "t", "a", "6162"},
		{"resp_", "t", "a", "resp_6162"},
		{"r-", "esp_t", "a", "b"},
	} {
		id := s.Sign(p[0], p[1], p[2], p[3])
		_, text, _ := strings.Cut(id, "1")
		if with, twice := seen[text]; twice {
			t.Errorf("%q and %s are both %s", p, with, id)
		}
		seen[text] = fmt.Sprint(p)
	}
}

// TestIDsWhileSecretsChange opens ids of both secrets during a rotation, and those
// of the former one no longer.
func TestIDsWhileSecretsChange(t *testing.T) {
	t.Parallel()
	before, during, after := newSigner(t, secretA), newSigner(t, secretB, secretA), newSigner(t, secretB)
	old := before.Sign("file-", "t", "a/b", "file-1")
	if id := during.Sign("file-", "t", "a/b", "file-1"); id != after.Sign("file-", "t", "a/b", "file-1") || id == old {
		t.Errorf("the first secret does not sign: %s", id)
	}
	want := opened{"a/b", "file-1", true}
	for _, s := range []*openai.Signer{before, during} {
		if got := open(s, "t", old); got != want {
			t.Errorf("Open of the former secret's id = %+v, want %+v", got, want)
		}
	}
	early := newSigner(t, secretA, secretB) // a replica that does not sign with it yet
	for _, s := range []*openai.Signer{early, during, after} {
		if got := open(s, "t", after.Sign("file-", "t", "a/b", "file-1")); got != want {
			t.Errorf("Open of the new secret's id = %+v, want %+v", got, want)
		}
	}
	if got := open(after, "t", old); got != (opened{}) {
		t.Errorf("Open of a former secret's id = %+v", got)
	}
}

// TestNoOtherIDOpens tries 10,000 ids that are foreign, forged, truncated, altered
// in a bit, in another case, or of another kind: none may open.
func TestNoOtherIDOpens(t *testing.T) {
	t.Parallel()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	r := rand.New(rand.NewPCG(6, 7))
	s := newSigner(t, secretA, secretB)
	word := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = alphabet[r.IntN(len(alphabet))]
		}
		return string(b)
	}
	kinds := []string{"resp_", "file-", "batch_", "chatcmpl-"}
	changes := []func(kind, id string) string{
		func(kind, _ string) string { return kind + word(r.IntN(80)) },
		func(kind, _ string) string { return kind + "1" + word(r.IntN(200)) },
		func(kind, _ string) string { return kind + fmt.Sprintf("%048x", r.Uint64()) },
		func(kind, _ string) string {
			return newSigner(t, word(32)).Sign(kind, "team", "azure/gpt", kind+word(24))
		},
		func(kind, _ string) string { return s.Sign(kind, "other", "azure/gpt", kind+word(24)) },
		func(_, id string) string { return id[:r.IntN(len(id))] },
		func(_, id string) string { return id + word(1+r.IntN(4)) },
		func(kind, id string) string { return id[len(kind)-1:] },
		func(_, id string) string {
			b := []byte(id)
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
			return string(b)
		},
		func(kind, id string) string {
			raw, err := base64.RawURLEncoding.DecodeString(id[len(kind)+1:])
			if err != nil {
				t.Fatal(err)
			}
			raw[r.IntN(len(raw))] ^= 1 << r.IntN(8)
			return kind + "1" + base64.RawURLEncoding.EncodeToString(raw)
		},
		func(_, id string) string { return strings.ToLower(id) },
		func(_, id string) string { return strings.ToUpper(id) },
		func(kind, id string) string { return kinds[r.IntN(len(kinds))] + id[len(kind):] },
		func(_, id string) string { at := r.IntN(len(id)); return id[:at] + "\n" + id[at:] },
		func(_, id string) string { return id + "=" },
		func(_, id string) string { return id[:len(id)-1] + word(1) },
		func(_, id string) string { at := 1 + r.IntN(len(id)-1); return id[:at-1] + word(1) + id[at:] },
		func(kind, id string) string { return kind + "2" + id[len(kind)+1:] },
		func(_, id string) string { return " " + id },
		func(_, id string) string { return strings.Repeat(id, 100) },
	}
	for i := range 10_000 {
		kind := kinds[r.IntN(len(kinds))]
		id := s.Sign(kind, "team", "azure/gpt", kind+word(24+r.IntN(3)))
		if got := open(s, "team", id); !got.OK {
			t.Fatalf("%s does not open", id)
		}
		other := changes[i%len(changes)](kind, id)
		if other == id {
			continue
		}
		if got := open(s, "team", other); got != (opened{}) {
			t.Fatalf("change %d of %q, %q, opens: %+v", i%len(changes), id, other, got)
		}
	}
}

// FuzzOpen opens no id but those that were signed with the same parts.
func FuzzOpen(f *testing.F) {
	f.Add("team", "azure/gpt", "resp_0123", "resp_1AAAA", "team")
	f.Add("", "", "", "_1", "")
	f.Add("a", strings.Repeat("x", 300), "resp_\xff", "file-1AAAAAAAAAAAAAAAAAAAAAAAAAAA", "b")
	f.Fuzz(func(t *testing.T, team, deployment, upstream, other, stranger string) {
		s := newSigner(t, secretA, secretB)
		id := s.Sign("resp_", team, deployment, upstream)
		want := opened{openai.Owner(deployment), upstream, true}
		if got := open(s, team, id); got != want && len(id) <= 4<<10 {
			t.Fatalf("Open(%q) = %+v, want %+v", id, got, want)
		}
		if got := open(s, stranger, id); got.OK && stranger != team {
			t.Fatalf("%q opens %q's %q: %+v", stranger, team, id, got)
		}
		if got := open(s, team, other); got.OK && other != id {
			t.Fatalf("%q opens: %+v", other, got)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	s := newSigner(b, secretA, secretB)
	b.ReportAllocs()
	for b.Loop() {
		_ = s.Sign("resp_", "team", "azure-eu/gpt-4o", "resp_0123456789abcdef0123456789abcdef")
	}
}

func BenchmarkOpen(b *testing.B) {
	s := newSigner(b, secretA, secretB)
	id := s.Sign("resp_", "team", "azure-eu/gpt-4o", "resp_0123456789abcdef0123456789abcdef")
	b.ReportAllocs()
	for b.Loop() {
		_, _, _ = s.Open("team", id)
	}
}
