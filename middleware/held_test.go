package middleware_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"weir/middleware"
	"weir/usage"
)

// TestRecordOfLongMethod holds that a client cannot write as much as it likes into
// the log by its method.
func TestRecordOfLongMethod(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, method, want string }{
		{"known", http.MethodPatch, http.MethodPatch},
		{"of its own", "BREW", "BREW"},
		{"long", strings.Repeat("M", 30_000), strings.Repeat("M", 256)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			kept := &book{}
			r := get("/v1/chat")
			r.Method = tt.method
			serve(r, fine, nil, middleware.Record(newID, kept))
			if got := kept.records[0].Method; got != tt.want {
				t.Errorf("the method of the record has %d bytes: %.20q, want %d: %.20q", len(got), got, len(tt.want), tt.want)
			}
		})
	}
}

// TestRecordHoldsNoHeaders holds that whoever keeps records keeps nothing of a
// request but what is in them: neither the rest of a long header nor the line that
// the method stands in. It is not parallel: it looks at the heap.
func TestRecordHoldsNoHeaders(t *testing.T) {
	const requests, size = 1000, 30_000
	all := keeper{}
	record := middleware.Record(newID, &all)
	filled := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what was in pools goes with the second
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := filled()
	for i := range requests {
		line := fmt.Sprintf("GET /%d%s", i, strings.Repeat("p", size))
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/chat", http.NoBody)
		r.Method, _, _ = strings.Cut(line, " ")
		r.Header.Set("User-Agent", fmt.Sprintf("%d%s", i, strings.Repeat("u", size)))
		serve(r, fine, nil, record)
	}
	after := filled()
	if len(all) != requests {
		t.Fatalf("%d requests have %d records", requests, len(all))
	}
	if held := (int64(after) - int64(before)) / requests; held > size/3 {
		t.Errorf("a record holds %d bytes of a request with %d in its user agent and as many in its path", held, size)
	}
	runtime.KeepAlive(all)
}

// keeper keeps the strings of records as they are.
type keeper []usage.Record

func (k *keeper) Take(_ context.Context, r *usage.Record) {
	*k = append(*k, usage.Record{Start: time.Time{}, Method: r.Method, UserAgent: r.UserAgent})
}
