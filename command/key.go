package command

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	keyPrefix = "sk-weir-" // of every key, so that scanners for lost secrets know one
	keyBytes  = 32         // of chance in a key
	maxKey    = 4 << 10    // the longest key that is hashed
	lastYear  = 9999       // that a date can be written with
)

func keyCommand(s *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make the keys that callers present",
		Long: "Make the keys that callers present.\n\n" +
			"The configuration holds a key's SHA-256 alone, so the file gives no access to who\n" +
			"reads it. A team may have any number of keys, and all of them work: to replace one,\n" +
			"put the new one beside it and give the old one an end with expires.",
	}
	cmd.AddCommand(newKeyCommand(s), &cobra.Command{
		Use:   "hash",
		Short: "Print the SHA-256 of a key that is read from standard input",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return s.hashKey() },
	})
	return cmd
}

func newKeyCommand(s *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new TEAM",
		Short: "Make a key for a team and print it once",
		Args:  cobra.ExactArgs(1),
	}
	id := cmd.Flags().String("id", "", "`name` of the key in the configuration and in logs (default: TEAM and a piece of the hash)")
	expires := cmd.Flags().String("expires", "", "`when` it stops working: in so long, such as 90d or 12h, or at the end of a day in UTC,\nsuch as 2027-03-31, or at a time, such as 2027-03-31T12:00:00Z (default: never)")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if cmd.Flags().Changed("id") && !plainName(*id) {
			return usageError{fmt.Errorf("%q cannot be the id of a key: %s", *id, nameForm)}
		}
		end := ""
		if cmd.Flags().Changed("expires") {
			var err error
			if end, err = keyEnd(*expires, time.Now()); err != nil {
				return usageError{err}
			}
		}
		return s.newKey(args[0], *id, end)
	}
	return cmd
}

// nameForm says what a name of the configuration is.
const nameForm = "use up to 64 letters, digits, dots, dashes and underscores, a letter or digit first"

// newKey prints a new key and the line that lets it in. An id or an end that is
// empty is not given.
func (s *streams) newKey(team, id, end string) error {
	if !plainName(team) {
		return usageError{fmt.Errorf("%q cannot be a team: %s", team, nameForm)}
	}
	secret := make([]byte, keyBytes)
	_, _ = rand.Read(secret) // it never fails
	key := keyPrefix + base64.RawURLEncoding.EncodeToString(secret)
	sum := hash(key)
	if id == "" {
		id = fmt.Sprintf("%.57s-%s", team, sum[:6])
	}
	// In quotes nothing is taken for a number or a date.
	line := fmt.Sprintf("id: %q, sha256: %q", id, sum)
	if end != "" {
		line += fmt.Sprintf(", expires: %q", end)
	}
	_, err := fmt.Fprintf(s.out, `Key of team %s, shown this once:

  %s

Put this under teams.%s.keys in the configuration:

  - { %s }
`, team, key, team, line)
	if err != nil {
		return fmt.Errorf("writing the key: %w", err)
	}
	return nil
}

// keyEnd returns when a key that is made now stops working, as the configuration
// writes it.
func keyEnd(text string, now time.Time) (string, error) {
	if end, ok := endAfter(text, now); ok {
		if !end.After(now) || end.Year() > lastYear {
			return "", fmt.Errorf("%q cannot be when a key expires: give it a length of time from 1s to the year %d", text, lastYear)
		}
		return end.Format(time.RFC3339), nil
	}
	end, err := time.Parse(time.RFC3339, text)
	if day, wrong := time.Parse(time.DateOnly, text); wrong == nil {
		end, err = day.AddDate(0, 0, 1), nil
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("%q cannot be when a key expires: use a length of time such as 90d or 12h, a day such as 2027-03-31, or a time such as 2027-03-31T12:00:00Z", text)
	case !end.After(now):
		return "", fmt.Errorf("%q cannot be when a key expires: it is past", text)
	}
	return text, nil
}

// endAfter returns when a length of time that begins now is over, to the second.
func endAfter(text string, now time.Time) (end time.Time, ok bool) {
	now = now.UTC()
	if number, days := strings.CutSuffix(text, "d"); days {
		n, err := strconv.ParseUint(number, 10, 31)
		return now.AddDate(0, 0, int(n)).Truncate(time.Second), err == nil
	}
	length, err := time.ParseDuration(text)
	return now.Add(length).Truncate(time.Second), err == nil
}

// plainName reports whether the configuration takes name as a team's.
func plainName(name string) bool {
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("-_.", rune(c))) {
			return false
		}
	}
	return name != "" && len(name) <= 64
}

// hashKey prints the hash of the one line that is read.
func (s *streams) hashKey() error {
	in, err := io.ReadAll(io.LimitReader(s.in, maxKey+1))
	if err != nil {
		return fmt.Errorf("reading the key: %w", err)
	}
	key := strings.TrimSpace(string(in))
	switch {
	case key == "":
		return errors.New("no key came on standard input")
	case len(in) > maxKey, strings.ContainsAny(key, "\r\n\t "):
		return errors.New("a key is one word: send it alone on standard input")
	}
	if _, err := fmt.Fprintln(s.out, hash(key)); err != nil {
		return fmt.Errorf("writing the hash: %w", err)
	}
	return nil
}

func hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}
