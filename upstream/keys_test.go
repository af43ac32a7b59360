package upstream_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/azuresim"
	"weir/upstream"
)

// given returns what a credential puts into the header.
func given(t *testing.T, c upstream.Credential) string {
	t.Helper()
	h := http.Header{}
	if err := c.Authorize(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	return h.Get("Api-Key") + h.Get("Authorization")
}

// TestKeyPair tries the other key once where one is refused, and then keeps to
// it.
func TestKeyPair(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		first, second string
		want          []string // how each of some calls comes to be
	}{
		{"the first", key, "SENTINEL-OLD", []string{"200 east", "200 east"}},
		{"the second", "SENTINEL-OLD", key, []string{"200 east, east", "200 east", "200 east"}},
		{"neither", "SENTINEL-OLD", "SENTINEL-OLDER", []string{"502 east, east", "503 "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				d := deployment("east")
				d.Credential = upstream.NewKeyPair(tt.first, tt.second, w.cfg.Log)
				w.deployments(d)
			}, func(w *world) {
				for i, want := range tt.want {
					got := w.do(w.ask(""))
					if s := fmt.Sprintf("%d %s", got.Status, got.Trace); s != want || got.Took != 0 {
						t.Errorf("call %d came to %q after %v, want %q", i+1, s, got.Took, want)
					}
				}
				if strings.Contains(w.log.String(), "SENTINEL") {
					t.Errorf("a key is logged:\n%s", w.log.String())
				}
			})
		})
	}
}

// TestKeyPairChangesOnce holds that many refusals of one key change to the other
// once, and not back.
func TestKeyPairChangesOnce(t *testing.T) {
	t.Parallel()
	pair := upstream.NewKeyPair("a", "b", nil)
	refused := http.Header{"Api-Key": {"a"}}
	for range 3 {
		if !pair.Renew(refused) || given(t, pair) != "b" {
			t.Fatalf("the key is %q", given(t, pair))
		}
	}
}

// TestKeyFile reads a key again when its file has changed, once a second at most,
// and keeps the last one while the file holds none.
func TestKeyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	if _, err := upstream.NewKeyFile(path, logger); err == nil {
		t.Error("a file that is not there is taken")
	}
	write("")
	if _, err := upstream.NewKeyFile(path, logger); err == nil {
		t.Error("an empty file is taken")
	}
	write("SENTINEL-1\n")
	synctest.Test(t, func(t *testing.T) {
		c, err := upstream.NewKeyFile(path, logger)
		if err != nil {
			t.Fatal(err)
		}
		steps := []struct {
			name  string
			do    func()
			after time.Duration
			want  string
		}{
			{"at first", func() {}, 0, "SENTINEL-1"},
			{"within the second", func() { write("SENTINEL-22") }, 999 * time.Millisecond, "SENTINEL-1"},
			{"behind it", func() {}, time.Millisecond, "SENTINEL-22"},
			{"not there", func() { _ = os.Remove(path) }, time.Second, "SENTINEL-22"},
			{"empty", func() { write("\n") }, time.Second, "SENTINEL-22"},
			{"two words", func() { write("SENTINEL-4 x") }, time.Second, "SENTINEL-22"},
			{"too large", func() { write(strings.Repeat("x", 1<<13)) }, time.Second, "SENTINEL-22"},
			{"there again", func() { write("SENTINEL-333") }, time.Second, "SENTINEL-333"},
		}
		for _, step := range steps {
			step.do()
			time.Sleep(step.after)
			if got := given(t, c); got != step.want {
				t.Errorf("%s: the key is %q, want %q", step.name, got, step.want)
			}
		}
	})
	if n := strings.Count(log.String(), "cannot be used"); n != 1 || strings.Contains(log.String(), "SENTINEL") {
		t.Errorf("said %d times that the file cannot be used:\n%s", n, log.String())
	}
}

// TestKeyFileRefused reads the file at once where its key is refused, and asks
// again only with another.
func TestKeyFileRefused(t *testing.T) {
	t.Parallel()
	for _, changed := range []bool{false, true} {
		t.Run(fmt.Sprintf("changed=%t", changed), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "key")
			write := func(text string) {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Error(err)
				}
			}
			write("SENTINEL-OLD")
			bubble(t, func(w *world) {
				d := deployment("east")
				c, err := upstream.NewKeyFile(path, nil)
				if err != nil {
					t.Fatal(err)
				}
				d.Credential = c
				_ = given(t, c) // so that the file is not looked at for a second
				w.deployments(d)
			}, func(w *world) {
				want := "502 east"
				if changed {
					write(key)
					want = "200 east, east"
				}
				if got := w.do(w.ask("")); fmt.Sprintf("%d %s", got.Status, got.Trace) != want {
					t.Errorf("came to %+v, want %s", got, want)
				}
			})
		})
	}
}

// TestCallersToken passes a token on, and hands its refusal over.
func TestCallersToken(t *testing.T) {
	t.Parallel()
	passing := func(w *world) {
		w.east = azuresim.New(azuresim.Config{Key: key, Token: "SENTINEL-TOKEN"})
		d := deployment("east")
		d.Credential = upstream.CallersToken{}
		w.deployments(d)
	}
	tests := []struct {
		name, bearer string
		want         string
		code         string
	}{
		{"good", "SENTINEL-TOKEN", "200 east", ""},
		{"bad", "SENTINEL-OTHER", "401 east", "unauthorized"},
		{"none", "", "401 ", "invalid_api_key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, passing, func(w *world) {
				call := w.ask("")
				call.Bearer = tt.bearer
				got := w.do(call)
				if s := fmt.Sprintf("%d %s", got.Status, got.Trace); s != tt.want || got.Code != tt.code || got.Err != nil {
					t.Errorf("came to %+v, want %s %s", got, tt.want, tt.code)
				}
				if s := w.state(); s.Rest != 0 {
					t.Errorf("the deployment rests %v", s.Rest)
				}
				for _, r := range w.east.Requests() {
					if r.Header.Get("Api-Key") != "" {
						t.Error("a key is sent beside the token")
					}
				}
				if strings.Contains(w.log.String(), "SENTINEL") {
					t.Errorf("a token is logged:\n%s", w.log.String())
				}
			})
		})
	}
}
