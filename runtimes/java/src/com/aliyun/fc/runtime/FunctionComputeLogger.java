package com.aliyun.fc.runtime;

/** Writes lines that carry the request id. */
public interface FunctionComputeLogger {
    void trace(String text);

    void debug(String text);

    void info(String text);

    void warn(String text);

    void error(String text);
}
