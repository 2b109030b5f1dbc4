package presence

import (
	"fmt"
	"strings"
	"testing"
)

func TestUsersAreFoundByTheBytesOfAPrefix(t *testing.T) {
	w := open(t)
	w.register("a", "ab", "ab%", "abc", "aé", "aê", "a\U0010ffff", "b", "Ab", "é", "_b", "\U0010ffff")
	for _, c := range []struct {
		prefix, after string
		want          []string
	}{
		{"", "", []string{"Ab", "_b", "a", "ab", "ab%", "abc", "aé", "aê", "a\U0010ffff", "b", "é", "\U0010ffff"}},
		{"a", "", []string{"a", "ab", "ab%", "abc", "aé", "aê", "a\U0010ffff"}},
		{"ab", "", []string{"ab", "ab%", "abc"}},
		{"ab", "A", []string{"ab", "ab%", "abc"}},
		{"ab", "ab", []string{"ab%", "abc"}},
		{"ab", "abb", []string{"abc"}},
		{"ab", "b", nil},
		{"ab%", "", []string{"ab%"}},
		{"%", "", nil}, {"_", "", []string{"_b"}}, {"*", "", nil}, {"abcd", "", nil}, {"a\x00", "", nil},
		{"a\xc3", "", []string{"aé", "aê"}}, // half of a letter
		{"\U0010ffff", "", []string{"\U0010ffff"}}, {"\xff", "", nil}, {"", "\xff", nil},
	} {
		for limit := 1; limit <= 13; limit++ {
			var got []string
			for after, more := c.after, true; more; {
				users, next, err := w.Users(t.Context(), c.prefix, after, limit)
				w.must(err)
				for _, u := range users {
					got = append(got, u.UserID)
				}
				after, more = next, next != ""
			}
			wantList(t, got, c.want, fmt.Sprintf("prefix %q after %q, %d at a time", c.prefix, c.after, limit))
		}
	}
}

// TestAPrefixReadsItsRangeOnly checks this for any number of users.
func TestAPrefixReadsItsRangeOnly(t *testing.T) {
	w := open(t)
	var id, parent, unused int
	var plan string
	row := w.store.Reader().QueryRowContext(t.Context(), "EXPLAIN QUERY PLAN "+selectUsers, "ab", "ab\xff", 10)
	w.must(row.Scan(&id, &parent, &unused, &plan))
	if !strings.HasPrefix(plan, "SEARCH users USING COVERING INDEX") || !strings.HasSuffix(plan, "(user_id>? AND user_id<?)") {
		t.Errorf("the plan is %q, want a search between both bounds", plan)
	}
}
