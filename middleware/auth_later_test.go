package middleware_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/middleware"
	"weir/openai"
)

// TestCallerLater holds who the sender of a request is when it is asked again, by the
// keys that there are then and what is known of the request.
func TestCallerLater(t *testing.T) {
	t.Parallel()
	hash := func(key string) [sha256.Size]byte { return sha256.Sum256([]byte(key)) }
	open := &middleware.Caller{Team: "open"}
	a := middleware.Keys{hash("a"): {Team: "one", Key: "first"}}
	const offer = "realtime, openai-insecure-api-key."
	for _, tt := range []struct {
		name    string
		host    string // "" an address
		headers []string
		keys    middleware.Keys
		open    *middleware.Caller
		want    string // team and key; "" refused
		visible bool   // the refusal is one that a client may see
	}{
		{name: "a key", headers: []string{"Authorization", "Bearer a"}, keys: a, want: "one/first"},
		{name: "as api-key", headers: []string{"Api-Key", "a"}, keys: a, want: "one/first"},
		{name: "in a subprotocol", headers: []string{"Upgrade", "websocket", "Sec-WebSocket-Protocol", offer + "a"}, keys: a, want: "one/first"},
		{name: "in what is no subprotocol", headers: []string{"Sec-WebSocket-Protocol", offer + "a"}, keys: a, visible: true},
		{name: "of another team by now", headers: []string{"Api-Key", "a"}, keys: middleware.Keys{hash("a"): {Team: "two", Key: "x"}}, want: "two/x"},
		{name: "removed", headers: []string{"Api-Key", "a"}, keys: middleware.Keys{hash("b"): {Team: "one", Key: "first"}}},
		{name: "removed, of two", headers: []string{"Api-Key", "a", "Authorization", "Bearer b"}, keys: middleware.Keys{hash("b"): {Team: "one", Key: "second"}}, want: "one/second"},
		{name: "two, of different teams by now", headers: []string{"Api-Key", "a", "Authorization", "Bearer b"}, keys: middleware.Keys{hash("a"): {Team: "one"}, hash("b"): {Team: "two"}}, visible: true},
		{name: "not expired", headers: []string{"Api-Key", "a"}, keys: middleware.Keys{hash("a"): {Team: "one", Key: "x", Expires: time.Date(2000, 1, 1, 1, 0, 0, 1, time.UTC)}}, want: "one/x"},
		{name: "expired", headers: []string{"Api-Key", "a"}, keys: middleware.Keys{hash("a"): {Team: "one", Key: "x", Expires: time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC)}}},
		{name: "none", keys: a, visible: true},
		{name: "none, and none is needed", open: open, want: "open/"},
		{name: "one of nobody's, and none is needed", headers: []string{"Api-Key", "x"}, open: open, keys: a, want: "open/"},
		{name: "removed, and none is needed by now", headers: []string{"Api-Key", "a"}, open: open, want: "open/"},
		{name: "none is needed, of another site", headers: []string{"Upgrade", "websocket", "Origin", "https://evil.example"}, open: open, visible: true},
		{name: "none is needed, under a name", host: "rebound.example", open: open, visible: true},
		{name: "of another site, with a key", headers: []string{"Upgrade", "websocket", "Origin", "https://evil.example", "Api-Key", "a"}, open: open, keys: a, want: "one/first"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				host := tt.host
				if host == "" {
					host = "127.0.0.1"
				}
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/v1/realtime", nil)
				for i := 0; i < len(tt.headers); i += 2 {
					r.Header.Set(tt.headers[i], tt.headers[i+1])
				}
				by := middleware.CredentialsOf(r)
				clear(r.Header) // of which nothing is needed later
				time.Sleep(time.Hour)
				got, err := tt.keys.Caller(by, tt.open)
				if err == nil && got.Team+"/"+got.Key != tt.want || err != nil && tt.want != "" {
					t.Errorf("taken for %+v, %v", got, err)
				}
				if _, visible := errors.AsType[*openai.Error](err); visible != tt.visible {
					t.Errorf("the error is %v", err)
				}
			})
		})
	}
}

// TestCredentialsAreNoKeys holds that no key can be read from what is kept of a
// request.
func TestCredentialsAreNoKeys(t *testing.T) {
	t.Parallel()
	const key = "sk-never-to-be-seen"
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://evil.example/", nil)
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Protocol", "openai-insecure-api-key."+key)
	by := middleware.CredentialsOf(r)
	for _, text := range []string{fmt.Sprintf("%+v", by), fmt.Sprintf("%#v", by), fmt.Sprint(by)} {
		if strings.Contains(text, key) {
			t.Errorf("the key is in %s", text)
		}
	}
}
