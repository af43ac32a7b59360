package redisquota_test

import (
	"strings"
	"testing"

	"weir/quota/redisquota"
)

func TestURLsAreRead(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, url string
		wrong     string // what the error says; empty: none
	}{
		{"plain", "redis://localhost:6379/2", ""},
		{"secured", "rediss://user:SECRET@redis.example:6380", ""},
		{"a socket", "unix:///run/redis.sock?db=3", ""},
		{"a cluster", "rediss://one.example:6379?addr=two.example:6379&pool_size=50", ""},
		{"sentinels", "redis://one.example:26379/1?addr=two.example:26379&master_name=main", ""},
		{"no URL", "://SECRET@", "cannot be read"},
		{"another scheme", "http://user:SECRET@localhost", "scheme"},
		{"what is not known", "redis://user:SECRET@localhost?read_timeout=5", `"read_timeout"`},
		{"a database of a cluster", "redis://user:SECRET@localhost/4?addr=two.example:6379", "database"},
		{"no number", "redis://user:SECRET@localhost/x", "database"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l, err := redisquota.New(t.Context(), redisquota.Config{URL: tt.url})
			if err == nil {
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			}
			switch {
			case tt.wrong == "" && err != nil:
				t.Errorf("New(%q): %v", tt.url, err)
			case tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong) || strings.Contains(err.Error(), "SECRET")):
				t.Errorf("New(%q) = %v, want an error that names %s and no secret", tt.url, err, tt.wrong)
			}
		})
	}
}
