package com.aliyun.fc.runtime;

/** What a handler is told about its call. */
public interface Context {
    String getRequestId();

    Credentials getExecutionCredentials();

    FunctionParam getFunctionParam();

    FunctionComputeLogger getLogger();

    Service getService();

    OpenTracing getTracing();

    int getRetryCount();
}
