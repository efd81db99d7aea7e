# Fish completion for unfreed(1). Commands, options and their values are those that the command names (--describe).

# Where the program that run or doctor is given begins in the words before the cursor; none if that is still to come.
function __unfreed_program
    set -l words (commandline -opc)
    set -l at 3
    while test $at -le (count $words)
        switch $words[$at]
            case --
                set at (math $at + 1)
                break
            case '-*'
                contains -- $words[$at] $__unfreed_with_value; and set at (math $at + 1)
                set at (math $at + 1)
            case '*'
                break
        end
    end
    test $at -le (count $words); and echo $at
end

# Is it that command's turn, and not the program's that it runs?
function __unfreed_in
    set -l words (commandline -opc)
    set -q words[2]; or return 1
    test "$words[2]" = $argv[1]; or return 1
    contains -- $argv[1] run doctor; or return 0
    test -z "$(__unfreed_program)"
end

# The completion of the program's own.
function __unfreed_of_program
    set -l at (__unfreed_program)
    set -l words (commandline -opc)
    set -l line (string join -- ' ' (string escape -- $words[$at..]) (commandline -ct))
    complete "-C$line"
end

function __unfreed_runs_program
    set -l words (commandline -opc)
    set -q words[2]; and contains -- "$words[2]" run doctor; and test -n "$(__unfreed_program)"
end

# The processes that attach can be given: pids with their names, and the names of their programs.
function __unfreed_running
    set -l names
    for folder in (string match -r '^/proc/\d+$' /proc/*)
        set -l name
        test -r $folder/comm; and read name <$folder/comm; and test -n "$name"; or continue
        printf '%s\t%s\n' (string replace /proc/ '' $folder) $name
        contains -- $name $names; or set -a names $name
    end
    printf '%s\n' $names
end

set -g __unfreed_with_value
complete -c unfreed -f
for line in (unfreed --describe 2>/dev/null)
    set -l row (string split \t -- $line)
    test $row[1] = command; or continue
    set -l name $row[2]
    complete -c unfreed -n __fish_is_first_token -a $name -d "$row[4]"
    for option in (unfreed $name --describe 2>/dev/null)
        set -l fields (string split \t -- $option)
        set -l arguments -c unfreed -n "__unfreed_in $name" -d "$fields[5]"
        for spelling in (string split , -- $fields[1])
            string match -q -- '--*' $spelling; and set -a arguments -l (string sub -s 3 -- $spelling)
            or set -a arguments -s (string sub -s 2 -- $spelling)
        end
        if test -n "$fields[2]"; and not string match -q '[*' -- $fields[2]
            set -a __unfreed_with_value (string split , -- $fields[1])
            if test "$fields[3]" = '<file>'
                set -a arguments -r -F
            else
                set -a arguments -x -a "$(string escape -- (string split -n ' ' -- $fields[3]) | string join ' ')"
            end
        end
        complete $arguments
    end
end
complete -c unfreed -n __fish_is_first_token -a help -d 'explain a command'
complete -c unfreed -n '__unfreed_in run; or __unfreed_in doctor' -a '(__fish_complete_command)'
complete -c unfreed -n __unfreed_runs_program -a '(__unfreed_of_program)'
for name in report diff check push baseline
    complete -c unfreed -n "__unfreed_in $name" -F
end
complete -c unfreed -n '__unfreed_in baseline' -a 'write update check'
for name in snapshot watch top detach
    complete -c unfreed -n "__unfreed_in $name" -a "(unfreed list 2>/dev/null | string match -rg '^(\d+)')"
end
complete -c unfreed -n '__unfreed_in attach' -a '(__unfreed_running)'
