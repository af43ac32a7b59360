package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"
)

// Secret is text that never prints: every way of formatting it gives
// "[secret]". Reveal returns it.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String returns a placeholder.
func (s Secret) String() string { return "[secret]" }

// GoString returns a placeholder.
func (s Secret) GoString() string { return "[secret]" }

// Format writes a placeholder, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[secret]")) }

// MarshalText returns a placeholder.
func (s Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// MarshalJSON returns a placeholder.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"[secret]"`), nil }

// MarshalYAML returns a placeholder.
func (s Secret) MarshalYAML() ([]byte, error) { return []byte(`"[secret]"`), nil }

// LogValue returns a placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue("[secret]") }

// Hash returns the SHA-256 of the key, however it is given. Keys of a checked
// File always have one.
func (k Key) Hash() [sha256.Size]byte {
	if k.SHA256 == "" {
		return sha256.Sum256([]byte(k.Value.Reveal()))
	}
	var sum [sha256.Size]byte
	if b, err := hex.DecodeString(k.SHA256); err == nil {
		copy(sum[:], b)
	}
	return sum
}

// Size is a number of bytes.
type Size int64

// ParseSize reads a size such as 512, 64KiB, 20MiB, 1GiB or 20MB.
func ParseSize(s string) (Size, error) {
	digits := strings.TrimRight(s, "BKMGikbmg")
	unit := strings.ToLower(strings.TrimSpace(s[len(digits):]))
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	if err != nil {
		return 0, errors.New("config: reading a size: not a whole number with a unit")
	}
	var factor int64
	switch unit {
	case "", "b":
		factor = 1
	case "kib":
		factor = 1 << 10
	case "mib":
		factor = 1 << 20
	case "gib":
		factor = 1 << 30
	case "kb":
		factor = 1e3
	case "mb":
		factor = 1e6
	case "gb":
		factor = 1e9
	default:
		return 0, errors.New("config: reading a size: unknown unit")
	}
	if n > math.MaxInt64/factor || n < math.MinInt64/factor {
		return 0, errors.New("config: reading a size: too large")
	}
	return Size(n * factor), nil
}

// String returns the size in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range []struct {
		name   string
		factor Size
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if s != 0 && s%u.factor == 0 {
			return strconv.FormatInt(int64(s/u.factor), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// Percent is a part of a whole: 0.8 is 80 percent.
type Percent float64

// ParsePercent reads a part such as 80% or 0.8.
func ParsePercent(s string) (Percent, error) {
	digits, percent := strings.CutSuffix(s, "%")
	x, err := parseFloat(strings.TrimSpace(digits))
	if err != nil {
		return 0, errors.New("config: reading a part: neither a number nor one with a percent sign")
	}
	if percent {
		x /= 100
	}
	return Percent(x), nil
}

// String returns the part as people write it, such as 80%.
func (p Percent) String() string {
	return strconv.FormatFloat(math.Round(float64(p)*1e9)/1e7, 'f', -1, 64) + "%"
}

// ParseDuration reads a duration such as 30s, 1h30m, 30d or 1d12h. A day is 24
// hours, whatever clocks do, and stands first.
func ParseDuration(s string) (time.Duration, error) {
	days, rest, found := strings.Cut(s, "d")
	if !found {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, errors.New("config: reading a duration: not a number with a unit")
		}
		return d, nil
	}
	n, err := strconv.ParseUint(days, 10, 15)
	if err != nil || strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "+") {
		return 0, errors.New("config: reading a duration: days must be a whole number, before all else")
	}
	d := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return d, nil
	}
	r, err := time.ParseDuration(rest)
	if err != nil || d+r < 0 {
		return 0, errors.New("config: reading a duration: not a number with a unit, or too long")
	}
	return d + r, nil
}
