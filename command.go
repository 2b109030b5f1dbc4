package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// command is what the program can do apart from serving. start adds the flags of
// the command, and returns what to do once they are parsed.
type command struct {
	name, operand, about, help string
	start                      func(*flag.FlagSet) action
}

// allKeys, as what a command needs, is every key.
const allKeys = "*"

// action carries out a command. read returns the configuration that the flags
// name; its error is only about keys that the command needs.
type action func(ctx context.Context, read reader, operand string) error

// reader reads the configuration for a command that needs some keys of it.
type reader func(needed ...string) (config, error)

// readFor returns a reader of a file. What is wrong with the keys that a command
// doesn't need is a warning, so that a half-renewed certificate or an unknown key
// prevents no backup.
func readFor(file string) reader {
	return func(needed ...string) (config, error) {
		c, found, err := readConfig(flags{file: file})
		if err != nil {
			return c, err
		}
		var errs problems
		for _, p := range found {
			if slices.Contains(needed, p.key) || slices.Contains(needed, allKeys) {
				errs = append(errs, p)
			} else {
				fmt.Fprintln(os.Stderr, "presence: warning:", p.text)
			}
		}
		return c, errs.err()
	}
}

func commands() []command {
	return []command{
		{"token", "USER", "print a token for a user", helpToken, startToken},
		{"check", "", "check the configuration and the database", helpCheck, startCheck},
		{"backup", "FILE", "back up the database", helpBackup, startBackup},
		{"restore", "FILE", "put a backup in the place of the database", helpRestore, startRestore},
		{"health", "", "ask the server on this machine whether it is ready", helpHealth, startHealth},
		{"doctor", "URL", "measure what lies between clients and the server", helpDoctor, startDoctor},
	}
}

// runCommand runs the command that the arguments name. file is that of -config,
// which may also follow the command.
func runCommand(ctx context.Context, file string, args []string) error {
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(ctx, file, args[1:])
		}
	}
	return failure{fmt.Errorf("there is no command %q: see presence -h", args[0]), misuse}
}

func (c command) run(ctx context.Context, file string, args []string) error {
	set := flag.NewFlagSet("presence "+c.name, flag.ContinueOnError)
	set.StringVar(&file, "config", file, "read the configuration from `FILE` (default presence.toml, if there is one)")
	act := c.start(set)
	operands, err := parse(set, args)
	switch {
	case err == flag.ErrHelp:
		printHelp(set, fmt.Sprintf("Usage: %s\n\n%s\n", strings.TrimSpace(set.Name()+" [flags] "+c.operand), c.help))
		return nil
	case err != nil:
		return misused(set, err)
	case c.operand == "" && len(operands) > 0:
		return misused(set, fmt.Errorf("unexpected argument %q", operands[0]))
	case c.operand != "" && len(operands) == 1 && operands[0] == "":
		return misused(set, fmt.Errorf("%s must not be empty", c.operand))
	case c.operand != "" && len(operands) != 1:
		return misused(set, fmt.Errorf("one %s is needed, not %d", c.operand, len(operands)))
	}
	return act(ctx, readFor(file), strings.Join(operands, ""))
}

// parse accepts flags before the operands and after them.
func parse(set *flag.FlagSet, args []string) (operands []string, err error) {
	set.SetOutput(io.Discard) // errors are returned in one line
	for {
		if err := set.Parse(args); err != nil {
			return nil, err
		}
		if set.NArg() == 0 {
			return operands, nil
		}
		operands, args = append(operands, set.Arg(0)), set.Args()[1:]
	}
}

// printUsage prints the commands, and the flags for serving.
func printUsage(set *flag.FlagSet) {
	text := "Usage: presence [flags]            to serve\n       presence [flags] COMMAND …\n\nCommands:\n"
	for _, c := range commands() {
		text += fmt.Sprintf("  %-14s %s\n", c.name+" "+c.operand, c.about)
	}
	printHelp(set, text+"\npresence COMMAND -h says more about each. Exit code: 0 fine, 1 failed, 2 misused.\n")
}

func printHelp(set *flag.FlagSet, text string) {
	fmt.Print(text, "\nFlags:\n")
	set.SetOutput(os.Stdout)
	set.PrintDefaults()
}

// misuse is the exit code for a wrong call of the program.
const misuse = 2

// failure is an error with an exit code of its own.
type failure struct {
	error
	code int
}

// misused returns an error for a program or command that was called in the wrong
// way.
func misused(set *flag.FlagSet, err error) error {
	return failure{fmt.Errorf("%w: see %s -h", err, set.Name()), misuse}
}

// exitCode returns what the program exits with: 0 without an error, and usually 1
// with one.
func exitCode(err error) int {
	if f, ok := errors.AsType[failure](err); ok {
		return f.code
	}
	if err != nil {
		return 1
	}
	return 0
}
