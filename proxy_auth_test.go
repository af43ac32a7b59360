package main_test

import (
	"net/http"
	"testing"
	"time"

	"weir/azuresim"
	"weir/usage"
)

// secondKey is another key of the team search.
const secondKey = "sk-second-key-for-tests-only"

// rotated is a team's old key, which ends a minute after a bubble begins, and the
// new one beside it.
func rotated() []string {
	return []string{
		`keys: [{ id: search-1, value: "${SEARCH_KEY}" }]`,
		`keys: [{ id: search-1, value: "${SEARCH_KEY}", expires: 2000-01-01T00:01:00Z }, { id: search-2, value: ` + secondKey + ` }]`,
	}
}

// TestKeyRotation is reliability T13: both keys of a team work until the old one
// ends, which it does to the nanosecond, and then it is as one that never was.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		ask := func(key string) reply {
			return w.do(w.t.Context(), http.MethodPost, chatPath, say("hello"), "api-key", key)
		}
		works := func(key, id string) {
			t.Helper()
			got := ask(key)
			if rec := w.record(); got.status != http.StatusOK || rec.Team != "search" || rec.Key != id {
				t.Errorf("%s is answered %d and recorded for %q of %q", id, got.status, rec.Key, rec.Team)
			}
		}
		end := time.Date(2000, 1, 1, 0, 1, 0, 0, time.UTC)
		works(searchKey, "search-1")
		works(secondKey, "search-2")
		time.Sleep(time.Until(end) - time.Nanosecond)
		works(searchKey, "search-1")
		works(secondKey, "search-2")
		time.Sleep(time.Until(end))
		asked := len(w.asked())
		old := ask(searchKey)
		rec := w.record()
		if old.status != http.StatusUnauthorized || rec.Team != "" || rec.Key != "" || rec.Outcome != usage.ClientError || rec.Code != "invalid_api_key" || len(w.asked()) != asked {
			t.Errorf("the old key is answered %d and recorded as %+v", old.status, rec)
		}
		if never := ask("sk-nobody-has-this-key"); never.status != old.status || never.body != old.body || len(never.header) != len(old.header) {
			t.Errorf("the old key is answered %s %v, one that never was %s %v", old.body, old.header, never.body, never.header)
		}
		works(secondKey, "search-2")
	}, rotated()...)
}

// TestKeyEndsBetweenRequests holds that a key lets in what it was good for when
// the request began.
func TestKeyEndsBetweenRequests(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		w.east.Script(azuresim.Step{Content: hellos(10), Gap: 10 * time.Second})
		if got := w.chat(say("hello", stream)); got.status != http.StatusOK || got.err != nil || got.text() != hellos(10) || got.took <= time.Minute {
			t.Errorf("answered %d after %v: %v", got.status, got.took, got.err)
		}
		if got := w.chat(say("hello")); got.status != http.StatusUnauthorized {
			t.Errorf("after its end the key is answered %d", got.status)
		}
	}, rotated()...)
}

// TestRotatedKeysShareTheTeam holds that a key more is no allowance more: what a
// team may is shared by its keys, also where one of them has ended.
func TestRotatedKeysShareTheTeam(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		ask := func(key, remaining string, status int) {
			t.Helper()
			got := w.do(w.t.Context(), http.MethodPost, chatPath, say("hello"), "api-key", key)
			if got.status != status || got.header.Get("X-Ratelimit-Remaining-Requests") != remaining {
				t.Errorf("answered %d with %q left, want %d with %q", got.status, got.header.Get("X-Ratelimit-Remaining-Requests"), status, remaining)
			}
		}
		ask(searchKey, "2", http.StatusOK)
		ask(secondKey, "1", http.StatusOK)
		ask(searchKey, "0", http.StatusOK)
		ask(searchKey, "0", http.StatusTooManyRequests)
		ask(secondKey, "0", http.StatusTooManyRequests)
		time.Sleep(2 * time.Minute)
		ask(searchKey, "", http.StatusUnauthorized) // and it takes nothing
		ask(secondKey, "2", http.StatusOK)
	}, append(limited("rpm: 3"), rotated()...)...)
}
